/** The library that reads and writes what hangs on the skeleton of a certificate, held to DER. */
import { AsnConvert } from '@peculiar/asn1-schema'
import { equal } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'
import { derError, type DerProfile } from './der.ts'

/**
 * @param bytes - DER as `checkDer` takes it.
 * @throws {@link EvidenceError} `STRUCTURE`; in the profile `strict` also when the library would write it otherwise.
 */
export function parse<T extends object>(type: new () => T, bytes: Uint8Array, profile: DerProfile): T {
  const value = read(type, bytes)
  if (profile === 'strict' && !isWrittenAs(value, bytes)) throw derError(`not exactly a ${type.name}`)
  return value
}

/** The library reads strings whose bytes are none of their type, and does not write them. */
function isWrittenAs(value: object, bytes: Uint8Array): boolean {
  try {
    return equal(serialize(value), bytes)
  } catch {
    return false
  }
}

/** What the library throws about bytes is about the bytes. */
function read<T>(type: new () => T, bytes: Uint8Array): T {
  try {
    return AsnConvert.parse(bytes, type)
  } catch (cause) {
    throw new EvidenceError('STRUCTURE', { message: `not a ${type.name}: ${(cause as Error).message}`, cause })
  }
}

export function serialize(value: object): Uint8Array {
  return new Uint8Array(AsnConvert.serialize(value))
}
