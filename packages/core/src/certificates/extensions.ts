/** The extensions that are understood. Source: RFC 5280 §4.2. */
import {
  AuthorityKeyIdentifier,
  BasicConstraints,
  ExtendedKeyUsage,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_certificatePolicies,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  SubjectKeyIdentifier,
} from '@peculiar/asn1-x509'
import { EvidenceError } from '../error.ts'
import { decodeOid } from './oid.ts'
import { checkDer, derError, type DerProfile, type Element, elements, TAG } from './der.ts'
import { parse } from './parse.ts'

export const EXTENSIONS_MAX = 32

export interface RawExtension {
  readonly oid: string
  readonly critical: boolean
  readonly value: Uint8Array
}

export interface Extensions {
  readonly all: readonly RawExtension[]
  readonly basicConstraints?: { readonly isCa: boolean; readonly pathLength: number | undefined }
  /** `all`: the names of the bits that are set, as the library has them. */
  readonly keyUsage?: { readonly keyCertSign: boolean; readonly all: string }
  readonly extendedKeyUsage?: readonly string[]
  readonly subjectKeyId?: Uint8Array
  readonly authorityKeyId?: Uint8Array
}

/** Critical extensions that a chain of either kind may have: their meaning is checked. */
export const UNDERSTOOD = [id_ce_basicConstraints, id_ce_keyUsage, id_ce_extKeyUsage]
/**
 * Those that endorsement chains have besides. The alternative name tells maker and model, the policies which rules of the
 * maker were followed: neither narrows what a certificate is good for.
 */
export const UNDERSTOOD_ENDORSEMENT = [...UNDERSTOOD, id_ce_subjectAltName, id_ce_certificatePolicies]

/** @param list - The members of Extensions, RFC 5280 §4.1. */
export function decodeExtensions(list: readonly Element[], profile: DerProfile): Extensions {
  if (list.length > EXTENSIONS_MAX)
    throw new EvidenceError('LIMIT', { message: `${list.length} extensions; at most ${EXTENSIONS_MAX} are read` })
  const all = list.map((element) => readExtension(element, profile))
  const value = (oid: string): Uint8Array | undefined => all.find((extension) => extension.oid === oid)?.value
  if (new Set(all.map(({ oid }) => oid)).size !== all.length) throw derError('an extension that is there twice')
  const basic = decode(value(id_ce_basicConstraints), BasicConstraints, profile)
  const usage = decode(value(id_ce_keyUsage), KeyUsage, profile)
  const extended = decode(value(id_ce_extKeyUsage), ExtendedKeyUsage, profile)
  const subjectKeyId = decode(value(id_ce_subjectKeyIdentifier), SubjectKeyIdentifier, profile)
  const authorityKeyId = decode(value(id_ce_authorityKeyIdentifier), AuthorityKeyIdentifier, profile)?.keyIdentifier
  return {
    all,
    ...(basic && { basicConstraints: { isCa: basic.cA, pathLength: basic.pathLenConstraint } }),
    ...(usage && { keyUsage: usageOf(usage) }),
    ...(extended && { extendedKeyUsage: [...extended] }),
    ...(subjectKeyId && { subjectKeyId: new Uint8Array(subjectKeyId.buffer) }),
    ...(authorityKeyId && { authorityKeyId: new Uint8Array(authorityKeyId.buffer) }),
  }
}

function usageOf(usage: KeyUsage): NonNullable<Extensions['keyUsage']> {
  const flags = usage.toNumber()
  return {
    keyCertSign: (flags & KeyUsageFlags.keyCertSign) !== 0,
    all: usage.toJSON().join(' '),
  }
}

function readExtension({ tag, content }: Element, profile: DerProfile): RawExtension {
  const [id, ...rest] = tag === TAG.SEQUENCE ? elements(content) : []
  const value = rest.pop()
  const flag = rest.pop()
  if (id?.tag !== TAG.OBJECT_IDENTIFIER || value?.tag !== TAG.OCTET_STRING || rest.length > 0)
    throw derError('not exactly an extension')
  if (flag !== undefined && flag.tag !== TAG.BOOLEAN) throw derError('not exactly an extension')
  const critical = flag !== undefined && flag.content[0] !== 0
  // X.690 §11.5: a default is left out.
  if (profile === 'strict' && flag !== undefined && !critical)
    throw derError('an extension that says it is not critical')
  return { oid: decodeOid(id.content), critical, value: value.content }
}

function decode<T extends object>(
  value: Uint8Array | undefined,
  type: new () => T,
  profile: DerProfile,
): T | undefined {
  if (value === undefined) return undefined
  checkDer(value, profile)
  return parse(type, value, profile)
}
