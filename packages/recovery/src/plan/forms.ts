/** Limits and forms of a plan's fields: spec/recovery.md §2. */
import type { TextForm } from './fields.ts'

export const HOSTS_MAX = 100_000
export const SERVICES_MAX = 1000
export const SERVICE_NAMES_MAX = 100
export const OPERATORS_MAX = 32
/** Choices of those who are needed among all operators: a TPM policy names each (spec/release.md §3.4). */
export const OPERATOR_WAYS_MAX = 64
/** Of a fleet; a host has at most eight of them (check.ts). */
export const BOOTS_MAX = 4096
export const IMAGE_SIGNERS_MAX = 16
/** Values of a host's counter of approvals. */
export const APPROVALS_MAX = Number.MAX_SAFE_INTEGER
export const WITNESSES_MAX = 64
export const VERSION_MAX = 2 ** 31
/** Of the PC Client profile. */
export const PCR_MAX = 23

export const ADDRESS: TextForm = {
  form: /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]):[1-9]\d{0,4}$/,
  words: 'a host name or address and a port, such as 10.0.0.7:8471',
}
export const AK: TextForm = { form: /^000b[0-9a-f]{64}$/, words: 'the TPM Name of the key: 000b and 64 hex digits' }
export const POINT: TextForm = {
  form: /^04[0-9a-f]{128}$/,
  words: 'the public point of a P-256 key: 04 and 128 hex digits',
}
export const REGISTER: TextForm = { form: /^[0-9a-f]{64}$/, words: 'the value of a SHA-256 register: 64 hex digits' }
export const HARDWARE: TextForm = {
  form: /^[!-~](?:[ -~]{0,198}[!-~])?$/,
  words: 'at most 200 printable characters of ASCII',
}
export const ABSOLUTE: TextForm = { form: /^\/[^\0\n]{1,1023}$/, words: 'an absolute path' }
