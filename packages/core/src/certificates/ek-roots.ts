/**
 * How hard it is to copy a TPM, by who made its endorsement key: the makers' roots and the tier of their TPMs.
 * Rules: spec/certificates.md §5. The table is made by `tools/ek-roots.ts`.
 */
import { hex } from '../bytes/index.ts'
import type { Crypto } from '../crypto.ts'
import { fromBase64 } from './base64.ts'
import { type Certificate, decodeCertificate } from './certificate.ts'
import { type ChainPool, type ChainProblem, EK_CERTIFICATE, findChain } from './chain.ts'
import type { Tier } from './tier.ts'

interface FileEntry {
  /** Of the DER, hex. */
  readonly sha256: string
  /** `DistinguishedName.key` of the subject. */
  readonly subject: string
  /** Which collection it was taken from, and at which commit. */
  readonly source: string
  /** Base64. */
  readonly der: string
}

/** `ek-roots/ek-roots.json` */
export interface EkRootsFile {
  readonly schema: 'reprise/ek-roots/v1'
  readonly version: number
  readonly makers: Readonly<Record<string, { readonly tier: Tier; readonly why: string }>>
  readonly roots: readonly (FileEntry & { readonly maker: string })[]
  readonly intermediates: readonly FileEntry[]
}

/** The table that this version carries; read when it is first needed, since it is large. */
export async function builtInEkRoots(): Promise<EkRootsFile> {
  const { default: file } = await import('./ek-roots/ek-roots.json', { with: { type: 'json' } })
  return file as EkRootsFile
}

/** What the reader says of a root, whether or not the table has it. */
export interface OwnEkRoot {
  readonly certificate: Certificate
  readonly tier: Tier
}

export type EkTier =
  | {
      readonly kind: 'known'
      readonly tier: Tier
      readonly maker: string
      readonly why: string
      /** Subjects, from the issuer of the endorsement certificate to the root. */
      readonly issuers: readonly string[]
      /** SHA-256 of the root's DER, hex. */
      readonly root: string
      /** Milliseconds since 1970: makers let certificates expire whose chips go on. */
      readonly notAfterMs: number
    }
  | { readonly kind: 'unknown'; readonly tier: 'software'; readonly problems: readonly ChainProblem[] }

export interface TierOptions {
  readonly crypto: Crypto
  readonly table: EkRootsFile
  /** Of the reader; they go before the table. */
  readonly own?: readonly OwnEkRoot[]
  /** DER, such as a TPM holds beside its endorsement certificate; they need not be trusted. */
  readonly intermediates?: readonly Uint8Array[]
}

/**
 * The tier of a TPM by the chain of its endorsement certificate alone: never by what the host says. Periods of validity are
 * not looked at, for a chip does not get easier to copy. That the TPM holds the key is for credential activation to show.
 *
 * @param ekCertificate - As it stood in the TPM.
 * @returns `unknown`, as software, when no chain leads to a root that is known.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT` when it is no certificate, or an intermediate of the caller is none.
 */
export async function tierOfEk(ekCertificate: Uint8Array, options: TierOptions): Promise<EkTier> {
  const leaf = decodeCertificate(ekCertificate, 'endorsement')
  const { crypto, table, own = [] } = options
  const found = await findChain(leaf, pool(options), { crypto, usage: EK_CERTIFICATE, allowSha1: true })
  if ('problems' in found) return { kind: 'unknown', tier: 'software', problems: found.problems }
  const root = hex(crypto.sha256(found.root.der))
  const ofReader = own.find(({ certificate }) => hex(crypto.sha256(certificate.der)) === root)
  const maker = table.roots.find(({ sha256 }) => sha256 === root)?.maker ?? 'a root of the reader'
  const known = table.makers[maker] ?? { tier: 'software', why: '' }
  return {
    kind: 'known',
    ...(ofReader === undefined ? known : { tier: ofReader.tier, why: 'the trust policy says so' }),
    maker,
    issuers: [...found.chain.slice(1), found.root].map(({ subject }) => subject.text),
    root,
    notAfterMs: leaf.notAfterMs,
  }
}

function pool({ table, own = [], intermediates = [] }: TierOptions): ChainPool {
  const others = intermediates.map((der) => decodeCertificate(der, 'endorsement'))
  const decoded = (entry: FileEntry): Certificate =>
    decodeCertificate(fromBase64(entry.der, entry.sha256), 'endorsement')
  return {
    find: (key) => [
      ...own.filter(({ certificate }) => certificate.subject.key === key).map(asRoot),
      // Decoding is dear, and a chain needs a few of some 150.
      ...table.roots
        .filter(({ subject }) => subject === key)
        .map((entry) => ({ certificate: decoded(entry), isRoot: true })),
      ...[...table.intermediates.filter(({ subject }) => subject === key).map(decoded), ...others]
        .filter(({ subject }) => subject.key === key)
        .map((certificate) => ({ certificate, isRoot: false })),
    ],
  }
}

function asRoot({ certificate }: OwnEkRoot): { readonly certificate: Certificate; readonly isRoot: boolean } {
  return { certificate, isRoot: true }
}
