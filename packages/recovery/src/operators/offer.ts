/**
 * What a host hands to its operator when it is provisioned, for the plan: its attestation key, its registers, its storage
 * key. Format and rules: spec/operators.md §3.
 */
import { canonical, equal, parseCanonicalBytes, utf8 } from '@reprise/core'
import type { Certificate, Tier } from '@reprise/core/certificates'
import { bigDecimal, bytes, integer, list, object, oneOf, toJson } from '@reprise/host/decode'
import { RecoveryError } from '../error.ts'
import type { RegisterValue } from '../plan/boots.ts'
import { APPROVALS_MAX, PCR_MAX } from '../plan/forms.ts'
import { sha256, tagged } from '../sealing/words.ts'
import type { HostId } from '../types.ts'
import { planName } from './plan-json.ts'
import { akName, checkQuote, type Quote } from '../quote.ts'

const SCHEMA = 'reprise/recovery-offer/v1'
export const OFFER_BYTES_MAX = 1 << 20
const AREA_BYTES_MAX = 1024
const CERTIFICATE_BYTES_MAX = 8192
const CERTIFICATES_MAX = 7

/** What an offer says of a host. */
export interface OfferFacts {
  readonly fleet: string
  readonly host: HostId
  /** TPMT_PUBLIC of the attestation key. */
  readonly akPublic: Uint8Array
  /** TPMT_PUBLIC of the storage key, which the operator pins. */
  readonly storageKey: Uint8Array
  /** Value of the counter of approvals, read in a salted session. */
  readonly approvals: bigint
}

export interface Offer extends OfferFacts {
  /** Of the present boot, ascending: those that an approved boot of this host shall have. */
  readonly registers: readonly RegisterValue[]
  readonly quote: Quote
  /** By which an authority vouches for the attestation key, DER, leaf first, its root last; empty when the host is enrolled nowhere. */
  readonly certificates: readonly Uint8Array[]
  /** Of the endorsement key, DER. It says that such a TPM exists, not that the attestation key is in it. */
  readonly ekCertificate: Uint8Array | undefined
}

/** Who vouches that the attestation key is in a TPM, and in which kind. */
export type OfferTier =
  /** An authority that the operator trusts, which activated the key in that TPM. */
  | { readonly kind: 'certified'; readonly tier: Tier; readonly authority: string; readonly name: string }
  /** Nobody that the operator named: the key may be in no TPM at all. */
  | { readonly kind: 'unproven'; readonly why: string }

export interface CheckedOffer {
  readonly offer: Offer
  /** TPM Name of the attestation key, hex: what the plan has. */
  readonly ak: string
  readonly tier: OfferTier
}

/** What the attestation key quotes, with the registers. */
export function offerStatement({ fleet, host, akPublic, storageKey, approvals }: OfferFacts): Uint8Array {
  const tuple = tagged(SCHEMA).sized(utf8(fleet)).sized(utf8(host)).sized(akPublic).sized(storageKey)
  return sha256(tuple.u64(approvals).done())
}

/**
 * @param quote - Quotes a statement of 32 bytes over the registers that it gives, and no others.
 * @returns The file.
 */
export async function makeOffer(
  facts: OfferFacts & Partial<Pick<Offer, 'certificates' | 'ekCertificate'>>,
  quote: (statement: Uint8Array) => Promise<Quote & { readonly registers: ReadonlyMap<number, Uint8Array> }>,
): Promise<Uint8Array> {
  const { fleet, host, akPublic, storageKey, approvals, certificates = [], ekCertificate } = facts
  const { attest, signature, registers } = await quote(offerStatement(facts))
  const ascending = [...registers].map(([pcr, value]) => ({ pcr, value })).toSorted((a, b) => a.pcr - b.pcr)
  return encodeOffer({
    ...{ fleet, host, akPublic, storageKey, approvals, certificates, ekCertificate },
    registers: ascending,
    quote: { attest, signature },
  })
}

function encodeOffer({ ekCertificate, ...offer }: Offer): Uint8Array {
  const whole = { schema: SCHEMA, ...offer, ekCertificate: ekCertificate ?? null }
  return utf8(`${canonical(toJson(whole))}\n`)
}

const register = object<RegisterValue>({ pcr: integer(0, PCR_MAX), value: bytes(32) })
const file = object<{ schema: typeof SCHEMA } & Offer>({
  schema: oneOf(SCHEMA),
  fleet: planName,
  host: planName,
  akPublic: bytes(1, AREA_BYTES_MAX),
  storageKey: bytes(1, AREA_BYTES_MAX),
  approvals: bigDecimal,
  registers: list(register, PCR_MAX + 1),
  quote: object<Quote>({ attest: bytes(1, AREA_BYTES_MAX), signature: bytes(1, AREA_BYTES_MAX) }),
  certificates: list(bytes(1, CERTIFICATE_BYTES_MAX), CERTIFICATES_MAX),
  ekCertificate: (value, path) => (value === null ? undefined : bytes(1, CERTIFICATE_BYTES_MAX)(value, path)),
})

/**
 * Reads an offer and checks what it proves.
 *
 * @param shown - Its name in messages.
 * @param authorities - Roots that the operator trusts to say what a TPM is.
 * @throws {@link RecoveryError} `OFFER`: no offer, or its quote does not hold.
 */
export async function checkOffer(
  content: Uint8Array,
  shown: string,
  authorities: readonly Certificate[] = [],
): Promise<CheckedOffer> {
  const offer = decodeOffer(content, shown)
  const { akPublic, registers, quote } = offer
  const checked = checkQuote(quote, { akPublic, statement: offerStatement(offer), registers })
  if (checked.kind === 'broken')
    throw refused(shown, `its attestation key does not prove it: ${checked.why}`, 'have the host make it anew')
  return { offer, ak: akName(akPublic), tier: await tierOf(offer, authorities) }
}

function decodeOffer(content: Uint8Array, shown: string): Offer {
  try {
    // One line of text, as editors and copies leave it.
    const end = content.at(-1) === 10 ? content.length - 1 : content.length
    const parsed = parseCanonicalBytes(content.subarray(0, end), OFFER_BYTES_MAX, 'the offer')
    const { schema: _, ...offer } = file(parsed, 'offer')
    if (offer.registers.length === 0) throw new RangeError('it has no registers')
    if (offer.registers.some(({ pcr }, i) => i > 0 && pcr <= offer.registers[i - 1].pcr))
      throw new RangeError('its registers are not ascending')
    if (offer.approvals < 1n || offer.approvals > BigInt(APPROVALS_MAX)) throw new RangeError('its counter cannot be')
    return offer
  } catch (cause) {
    throw refused(shown, (cause as Error).message, 'take the file that reprise recovery provision made', cause)
  }
}

function refused(shown: string, why: string, hint: string, cause?: unknown): RecoveryError {
  return new RecoveryError('OFFER', { message: `${shown} is no offer of a host that counts: ${why}.`, hint, cause })
}

async function tierOf(offer: Offer, authorities: readonly Certificate[]): Promise<OfferTier> {
  const { certificates, akPublic } = offer
  if (certificates.length < 2)
    return {
      kind: 'unproven',
      why: 'no authority vouches for the attestation key: whoever made the offer may have made the key',
    }
  const { checkChain } = await import('@reprise/host/enrolment')
  const root = certificates[certificates.length - 1]
  try {
    const facts = await checkChain({ root, certificates: certificates.slice(0, -1) }, akPublic)
    const name = facts.authorityName
    if (!authorities.some(({ spki }) => equal(sha256(spki), facts.authority)))
      return {
        kind: 'unproven',
        why: `the authority ${name} vouches for it, and you did not say that you trust that one (--trust)`,
      }
    return { kind: 'certified', tier: facts.tier, authority: name, name: facts.hostName }
  } catch (error) {
    return { kind: 'unproven', why: (error as Error).message }
  }
}
