/**
 * Break-glass by files: a host that waits says what it needs signed, operators sign it on their own machines, and send their
 * shares in escrow back to the process that waits, and to no other. Format and rules: spec/operators.md §5.
 */
import { createECDH } from 'node:crypto'
import { canonical, hex, parseCanonicalBytes, utf8 } from '@reprise/core'
import { bytes, type Decode, hexText, integer, list, nullable, object, oneOf, toJson } from '@reprise/host/decode'
import { RecoveryError } from '../error.ts'
import { OPERATORS_MAX } from '../plan/forms.ts'
import type { Generation } from '../sealing/generations.ts'
import { openSealed, type SealedTo, sealTo } from '../sealing/hpke.ts'
import { combineEscrow, type EscrowedShare, openEscrow } from '../sealing/quorum-half.ts'
import { Secret } from '../sealing/secret.ts'
import type { PinnedTpm, Rule } from '../sealing/storage.ts'
import {
  breakGlassMessage,
  type BreakGlassRequest,
  openByOperators,
  type OperatorStatement,
} from '../sealing/tpm-half.ts'
import { sha256, tagged } from '../sealing/words.ts'
import type { Plan } from '../types.ts'
import type { PersonKey } from './keys.ts'
import { planName } from './plan-json.ts'
import { akName, checkQuote, type Quote } from '../quote.ts'
import { SIGNATURE_BYTES, verifierOf } from './signatures.ts'
import { WALL_MS_MAX } from '../plan/fields.ts'

const REQUEST = 'reprise/release-request/v1'
const STATEMENT = 'reprise/release-statement/v1'
export const RELEASE_BYTES_MAX = 1 << 18
const AREA_BYTES_MAX = 1024
const POINT_BYTES = 65
const SECONDS_MAX = 86_400

/** What a host that waits asks its operators to sign. */
export interface ReleaseAsked extends BreakGlassRequest {
  readonly fleet: string
  /** Uncompressed points, hex, in the order of the generation: {@link OperatorStatement} counts by it. */
  readonly operators: readonly string[]
  readonly needed: number
  /** One share for each operator, in the same order; none in mode `tpm-only`. */
  readonly escrow: readonly EscrowedShare[]
  /** Uncompressed point of a key that only the waiting process has. */
  readonly recipient: Uint8Array
  readonly madeMs: number
  /** TPMT_PUBLIC. */
  readonly akPublic: Uint8Array
}

export interface AskedRelease {
  readonly asked: ReleaseAsked
  /** What the attestation key quotes, and statements answer. */
  readonly digest: Uint8Array
  readonly quote: Quote
}

const point = bytes(POINT_BYTES)
const pointText = hexText(POINT_BYTES)
const escrowed = object<EscrowedShare>({ index: integer(0, OPERATORS_MAX - 1), enc: point, ciphertext: bytes(49) })
const asked = object<ReleaseAsked>({
  fleet: planName,
  host: planName,
  epoch: integer(1),
  nonce: bytes(32),
  nonceTpm: bytes(16, 64),
  expirationS: integer(1, SECONDS_MAX),
  operators: list(pointText, OPERATORS_MAX),
  needed: integer(1, OPERATORS_MAX),
  escrow: list(escrowed, OPERATORS_MAX),
  recipient: point,
  madeMs: integer(0, WALL_MS_MAX),
  akPublic: bytes(1, AREA_BYTES_MAX),
})
const quote = object<Quote>({ attest: bytes(1, AREA_BYTES_MAX), signature: bytes(1, AREA_BYTES_MAX) })
const requestFile = object<{ schema: typeof REQUEST; asked: ReleaseAsked; quote: Quote }>({
  schema: oneOf(REQUEST),
  asked,
  quote,
})

/** One operator's answer to a request. */
interface Answer {
  /** Digest of the request. */
  readonly request: Uint8Array
  readonly key: string
  /** For the TPM: PolicySigned. */
  readonly signature: Uint8Array
  /** The share in escrow, for the process that waits. */
  readonly share: SealedTo | null
}
const sealedTo = object<SealedTo>({ enc: point, ciphertext: bytes(49) })
const statementFile = object<Answer & { schema: typeof STATEMENT; word: Uint8Array }>({
  schema: oneOf(STATEMENT),
  request: bytes(32),
  key: pointText,
  signature: bytes(SIGNATURE_BYTES),
  share: nullable(sealedTo),
  word: bytes(SIGNATURE_BYTES),
})

function requestDigest(request: ReleaseAsked): Uint8Array {
  return sha256(
    tagged(REQUEST)
      .sized(utf8(canonical(toJson(request))))
      .done(),
  )
}

/** What an operator vouches for besides the TPM's own message: nobody else's share is taken for his. */
function answerMessage(answer: Answer): Uint8Array {
  return tagged(STATEMENT)
    .sized(utf8(canonical(toJson(answer))))
    .done()
}

function shareInfo({ host, epoch, nonceTpm }: ReleaseAsked, index: number): Uint8Array {
  const info = tagged('reprise/escrow-return/v1').sized(utf8(host)).u64(BigInt(epoch)).u32(index)
  return info.sized(nonceTpm).done()
}

function decoding<T>(content: Uint8Array, decode: Decode<T>, what: string): T {
  try {
    const end = content.at(-1) === 10 ? content.length - 1 : content.length
    return decode(parseCanonicalBytes(content.subarray(0, end), RELEASE_BYTES_MAX, `the ${what}`), 'file')
  } catch (cause) {
    throw refused(what, (cause as Error).message, 'have it made again', cause)
  }
}

function refused(what: string, why: string, hint: string, cause?: unknown): RecoveryError {
  return new RecoveryError('STATEMENT', { message: `This ${what} is not taken: ${why}.`, hint, cause })
}

const A_REQUEST = 'request for a release'
const A_STATEMENT = 'statement for a release'

/** A host that waits for its operators. */
export interface WaitingRelease {
  /** The file for the operators. */
  readonly request: Uint8Array
  /**
   * Opens the halves. Nothing is used up while there are too few statements, or none that hold.
   *
   * @param statements - Files of operators; those of others, or for other requests, are an error that names them.
   * @throws {@link RecoveryError} `STATEMENT`, `OPERATORS` when there are too few.
   */
  readonly use: (statements: readonly Uint8Array[]) => Promise<ReleasedHalves>
  /** Ends the session; statements for it are worth nothing from then on. */
  readonly abandon: () => Promise<void>
}

export type ReleasedHalves =
  | {
      readonly kind: 'opened'
      readonly tpm: Secret
      /** Undefined in mode `tpm-only`. */
      readonly quorum: Secret | undefined
      /** Points of those who signed. */
      readonly operators: readonly string[]
    }
  | { readonly kind: 'refused'; readonly rule: Rule; readonly response: string }

export interface WaitOptions {
  readonly fleet: string
  readonly akPublic: Uint8Array
  /** Quotes a statement of 32 bytes, over whatever registers. */
  readonly quote: (statement: Uint8Array) => Promise<Quote>
  /** From now on, 1 to 86,400. */
  readonly expirationS: number
  readonly nowMs: number
}

class Abandoned extends Error {}

/**
 * Begins to wait: the session of the TPM stays open until the halves are opened, or the wait is abandoned.
 *
 * @throws {@link RecoveryError} `USAGE`, `PIN`.
 */
export async function waitForOperators(
  pinned: PinnedTpm,
  { half, escrow }: Pick<Generation, 'half' | 'escrow'>,
  { fleet, akPublic, quote: quoting, expirationS, nowMs }: WaitOptions,
): Promise<WaitingRelease> {
  const recipient = createECDH('prime256v1')
  const point65 = new Uint8Array(recipient.generateKeys())
  const statements = Promise.withResolvers<readonly OperatorStatement[]>()
  const session = Promise.withResolvers<BreakGlassRequest>()
  const opening = openByOperators(pinned, half, {
    expirationS,
    collect: (request) => {
      session.resolve(request)
      return statements.promise
    },
  })
  // Before it waits, what fails is told here; after that, by `use`.
  opening.catch(session.reject)
  const request: ReleaseAsked = {
    ...{ fleet, akPublic, recipient: point65, escrow, madeMs: nowMs, needed: half.breakGlass.needed },
    operators: half.breakGlass.operators.map(hex),
    ...(await session.promise),
  }
  const digest = requestDigest(request)
  // It may say more than belongs into the file.
  const { attest, signature } = await quoting(digest)
  const quoted: Quote = { attest, signature }
  return {
    request: utf8(`${canonical(toJson({ schema: REQUEST, asked: request, quote: quoted }))}\n`),
    async use(files) {
      const answers = readAnswers(files, request, digest)
      const shares = await openShares(answers, request, recipient)
      try {
        statements.resolve(answers.map(({ operator, signature }) => ({ operator, signature: ecdsa(signature) })))
        const opened = await opening
        if (opened.kind === 'refused') return opened
        const quorum = escrow.length === 0 ? undefined : await combineEscrow(shares, request.needed)
        return { kind: 'opened', tpm: opened.secret, quorum, operators: answers.map(({ key }) => key) }
      } finally {
        for (const share of shares) share[Symbol.dispose]()
      }
    },
    async abandon() {
      statements.reject(new Abandoned())
      await opening.catch((error: unknown) => {
        if (!(error instanceof Abandoned)) throw error
      })
    },
  }
}

function ecdsa(signature: Uint8Array): OperatorStatement['signature'] {
  return { scheme: { kind: 'ecdsa', hash: 'sha256' }, signature }
}

type Counted = Answer & { readonly operator: number }

/** The first `needed` of different operators. @throws {@link RecoveryError} `STATEMENT`, `OPERATORS`. */
export function readAnswers(
  files: readonly Uint8Array[],
  request: ReleaseAsked,
  digest: Uint8Array,
): readonly Counted[] {
  const counted = new Map<number, Counted>()
  for (const file of files) {
    const { schema: _, word, ...answer } = decoding(file, statementFile, A_STATEMENT)
    if (hex(answer.request) !== hex(digest))
      throw refused(A_STATEMENT, 'it answers another request', 'have the newest request signed')
    const operator = request.operators.indexOf(answer.key)
    const who = `${answer.key.slice(0, 10)}…`
    if (operator < 0) throw refused(A_STATEMENT, `${who} is no operator of this generation`, 'leave it out')
    const verify = verifierOf(answer.key)
    if (!verify(answerMessage(answer), word) || !verify(breakGlassMessage(request), answer.signature))
      throw refused(A_STATEMENT, `the signature of ${who} does not hold`, 'have it made again')
    if (request.escrow.length > 0 && answer.share === null)
      throw refused(A_STATEMENT, `${who} sent no share`, 'the operator signs with --escrow-key')
    counted.set(operator, { ...answer, operator })
  }
  if (counted.size >= request.needed) return [...counted.values()].slice(0, request.needed)
  throw new RecoveryError('OPERATORS', {
    message: `${request.host} is released by ${request.needed} of ${request.operators.length} operators; ${counted.size} of them made a statement.`,
    hint: 'Nothing was used up: the host waits on. Have more of them sign the same request.',
  })
}

async function openShares(
  answers: readonly Counted[],
  request: ReleaseAsked,
  recipient: ReturnType<typeof createECDH>,
): Promise<readonly Secret[]> {
  using key = Secret.owning(padded(recipient.getPrivateKey()))
  const shares: Secret[] = []
  for (const { operator, share, key: who } of answers) {
    if (share === null) continue
    try {
      shares.push(await openSealed(share, shareInfo(request, operator), key.bytes))
    } catch {
      throw refused(
        A_STATEMENT,
        `the share of ${who.slice(0, 10)}… is not for this host and session`,
        'have it made again',
      )
    }
  }
  return shares
}

/** OpenSSL leaves leading zeros out. */
function padded(scalar: Uint8Array): Uint8Array {
  const bytes32 = new Uint8Array(32)
  bytes32.set(scalar, 32 - scalar.length)
  scalar.fill(0)
  return bytes32
}

/**
 * Reads a request as an operator does, and checks that it comes from the TPM of that host.
 *
 * @param plan - With the attestation keys.
 * @throws {@link RecoveryError} `STATEMENT`.
 */
export async function readReleaseRequest(content: Uint8Array, plan: Plan): Promise<AskedRelease> {
  const { asked: request, quote: quoted } = decoding(content, requestFile, A_REQUEST)
  if (request.fleet !== plan.fleet)
    throw refused(
      A_REQUEST,
      `it is of the fleet ${request.fleet}, and the plan of ${plan.fleet}`,
      'name the right plan',
    )
  const host = plan.roster.hosts.find(({ id }) => id === request.host)
  const ak = nameOf(request.akPublic)
  if (host?.ak === undefined || host.ak !== ak)
    throw refused(
      A_REQUEST,
      `its attestation key is ${ak}, and ${request.host} has ${host?.ak ?? 'none'} in version ${plan.roster.version}`,
      'whoever made it is not that host; if it was provisioned anew, use the newest plan',
    )
  const digest = requestDigest(request)
  const checked = checkQuote(quoted, { akPublic: request.akPublic, statement: digest })
  if (checked.kind === 'broken')
    throw refused(
      A_REQUEST,
      `the TPM of ${request.host} does not vouch for it: ${checked.why}`,
      'it was changed on its way',
    )
  return { asked: request, digest, quote: quoted }
}

function nameOf(akPublic: Uint8Array): string {
  try {
    return akName(akPublic)
  } catch {
    return 'none'
  }
}

/**
 * What an operator answers: a signature for the session that waits, and the share for the process that waits.
 *
 * @param escrow - The operator's escrow key; needed where the request has shares.
 * @throws {@link RecoveryError} `KEY` for a key that is not among the request's, `SHARES` for another escrow key.
 */
export async function answerRelease(
  { asked: request, digest }: AskedRelease,
  signer: PersonKey,
  escrow: PersonKey | undefined,
): Promise<Uint8Array> {
  const operator = request.operators.indexOf(signer.point)
  if (operator < 0)
    throw new RecoveryError('KEY', {
      message: `The key ${signer.point.slice(0, 10)}… is of no operator of epoch ${request.epoch} of ${request.host}.`,
      hint: 'operators are those of the plan by which the host sealed its secret',
    })
  const answer: Answer = {
    request: digest,
    key: signer.point,
    signature: signer.sign(breakGlassMessage(request)),
    share: await returnShare(request, operator, escrow),
  }
  const file = { schema: STATEMENT, ...answer, word: signer.sign(answerMessage(answer)) }
  return utf8(`${canonical(toJson(file))}\n`)
}

async function returnShare(
  request: ReleaseAsked,
  operator: number,
  escrow: PersonKey | undefined,
): Promise<SealedTo | null> {
  const share = request.escrow.find(({ index }) => index === operator)
  if (share === undefined) return null
  if (escrow === undefined)
    throw new RecoveryError('KEY', {
      message: `${request.host} needs the share in escrow of each operator who signs.`,
      hint: 'name your escrow key too: --escrow-key FILE',
    })
  using scalar = escrow.scalar()
  using opened = await openEscrow(share, request, scalar.bytes)
  return await sealTo(request.recipient, shareInfo(request, operator), opened.bytes)
}
