/**
 * TPM_RC: what a TPM says instead of an answer, and which handle, parameter or session it means.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 2 §6.6 (TPM_RC), Part 1 §39 (errors and response codes).
 */

/** RC_FMT1: bits 0–5 when bit 7 is set. */
const FORMAT_ONE: Readonly<Record<number, string>> = {
  0x01: 'ASYMMETRIC',
  0x02: 'ATTRIBUTES',
  0x03: 'HASH',
  0x04: 'VALUE',
  0x05: 'HIERARCHY',
  0x07: 'KEY_SIZE',
  0x08: 'MGF',
  0x09: 'MODE',
  0x0a: 'TYPE',
  0x0b: 'HANDLE',
  0x0c: 'KDF',
  0x0d: 'RANGE',
  0x0e: 'AUTH_FAIL',
  0x0f: 'NONCE',
  0x10: 'PP',
  0x12: 'SCHEME',
  0x15: 'SIZE',
  0x16: 'SYMMETRIC',
  0x17: 'TAG',
  0x18: 'SELECTOR',
  0x1a: 'INSUFFICIENT',
  0x1b: 'SIGNATURE',
  0x1c: 'KEY',
  0x1d: 'POLICY_FAIL',
  0x1f: 'INTEGRITY',
  0x20: 'TICKET',
  0x21: 'RESERVED_BITS',
  0x22: 'BAD_AUTH',
  0x23: 'EXPIRED',
  0x24: 'POLICY_CC',
  0x25: 'BINDING',
  0x26: 'CURVE',
  0x27: 'ECC_POINT',
  0x28: 'FW_LIMITED',
  0x29: 'SVN_LIMITED',
}

/** RC_VER1: bits 0–6 when bit 8 is set and bit 11 is not. */
const ERRORS: Readonly<Record<number, string>> = {
  0x00: 'INITIALIZE',
  0x01: 'FAILURE',
  0x03: 'SEQUENCE',
  0x0b: 'PRIVATE',
  0x19: 'HMAC',
  0x20: 'DISABLED',
  0x21: 'EXCLUSIVE',
  0x24: 'AUTH_TYPE',
  0x25: 'AUTH_MISSING',
  0x26: 'POLICY',
  0x27: 'PCR',
  0x28: 'PCR_CHANGED',
  0x2d: 'UPGRADE',
  0x2e: 'TOO_MANY_CONTEXTS',
  0x2f: 'AUTH_UNAVAILABLE',
  0x30: 'REBOOT',
  0x31: 'UNBALANCED',
  0x42: 'COMMAND_SIZE',
  0x43: 'COMMAND_CODE',
  0x44: 'AUTHSIZE',
  0x45: 'AUTH_CONTEXT',
  0x46: 'NV_RANGE',
  0x47: 'NV_SIZE',
  0x48: 'NV_LOCKED',
  0x49: 'NV_AUTHORIZATION',
  0x4a: 'NV_UNINITIALIZED',
  0x4b: 'NV_SPACE',
  0x4c: 'NV_DEFINED',
  0x50: 'BAD_CONTEXT',
  0x51: 'CPHASH',
  0x52: 'PARENT',
  0x53: 'NEEDS_TEST',
  0x54: 'NO_RESULT',
  0x55: 'SENSITIVE',
}

/** RC_WARN: bits 0–6 when bits 8 and 11 are set. */
const WARNINGS: Readonly<Record<number, string>> = {
  0x01: 'CONTEXT_GAP',
  0x02: 'OBJECT_MEMORY',
  0x03: 'SESSION_MEMORY',
  0x04: 'MEMORY',
  0x05: 'SESSION_HANDLES',
  0x06: 'OBJECT_HANDLES',
  0x07: 'LOCALITY',
  0x08: 'YIELDED',
  0x09: 'CANCELED',
  0x0a: 'TESTING',
  0x10: 'REFERENCE_H0',
  0x11: 'REFERENCE_H1',
  0x12: 'REFERENCE_H2',
  0x13: 'REFERENCE_H3',
  0x14: 'REFERENCE_H4',
  0x15: 'REFERENCE_H5',
  0x16: 'REFERENCE_H6',
  0x18: 'REFERENCE_S0',
  0x19: 'REFERENCE_S1',
  0x1a: 'REFERENCE_S2',
  0x1b: 'REFERENCE_S3',
  0x1c: 'REFERENCE_S4',
  0x1d: 'REFERENCE_S5',
  0x1e: 'REFERENCE_S6',
  0x20: 'NV_RATE',
  0x21: 'LOCKOUT',
  0x22: 'RETRY',
  0x23: 'NV_UNAVAILABLE',
  0x7f: 'NOT_USED',
}

export interface ResponseCode {
  readonly code: number
  /** Specification name, such as `TPM_RC_VALUE`; `TPM_RC_0x…` for a number the specification does not have. */
  readonly name: string
  /** What the code is about, counted from 1 as the specification does. */
  readonly about: { readonly kind: 'handle' | 'parameter' | 'session'; readonly number: number } | undefined
  /** True for codes that say "not now" and not "never". */
  readonly warning: boolean
  /** Who answered: the TPM, or a resource manager in its place. */
  readonly layer: 'tpm' | 'resource manager'
}

/** TSS2_RC_LAYER of a resource manager that answers with a code of the TPM's (TCG TSS 2.0 Overview §7.2; Linux, tpm2-space.c). */
const RESOURCE_MANAGER_LAYER = 11

export function decodeResponseCode(code: number): ResponseCode {
  const isManager = code >>> 16 === RESOURCE_MANAGER_LAYER
  const decoded = decodeTpmCode(isManager ? code & 0xffff : code)
  return { ...decoded, code, layer: isManager ? 'resource manager' : 'tpm' }
}

function decodeTpmCode(code: number): Omit<ResponseCode, 'layer'> {
  const unknown = `TPM_RC_0x${code.toString(16)}`
  if (code === 0) return { code, name: 'TPM_RC_SUCCESS', about: undefined, warning: false }
  if ((code & 0x80) !== 0) {
    const name = FORMAT_ONE[code & 0x3f]
    return { code, name: name === undefined ? unknown : `TPM_RC_${name}`, about: aboutWhat(code), warning: false }
  }
  // Bit 8 clear: a TPM 1.2 code, of which a TPM 2.0 sends only BAD_TAG. Bit 10 set: the vendor's own.
  if (code === 0x1e) return { code, name: 'TPM_RC_BAD_TAG', about: undefined, warning: false }
  if ((code & 0x100) === 0 || (code & 0x400) !== 0) return { code, name: unknown, about: undefined, warning: false }
  const warning = (code & 0x800) !== 0
  const name = (warning ? WARNINGS : ERRORS)[code & 0x7f]
  return { code, name: name === undefined ? unknown : `TPM_RC_${name}`, about: undefined, warning }
}

/** Bit 6 marks a parameter with a number of 4 bits; else bit 11 marks a session, and the number has 3 bits. */
function aboutWhat(code: number): ResponseCode['about'] {
  const number = (code >> 8) & 0xf
  if ((code & 0x40) !== 0) return { kind: 'parameter', number }
  if (number === 0) return undefined
  return (number & 8) !== 0 ? { kind: 'session', number: number & 7 } : { kind: 'handle', number }
}
