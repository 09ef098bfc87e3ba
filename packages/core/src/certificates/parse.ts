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
  if (profile === 'strict' && !equal(serialize(value), bytes)) throw derError(`not exactly a ${type.name}`)
  return value
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
