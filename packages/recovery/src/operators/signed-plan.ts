/**
 * The plan that hosts go by: signed by the operators of the plan before it, with the approver's approvals beside it.
 * Format and rules: spec/operators.md §2.
 */
import { canonical, equal, hex, parseCanonicalBytes, utf8 } from '@reprise/core'
import { bigDecimal, bytes, integer, list, object, oneOf, toJson } from '@reprise/host/decode'
import { RecoveryError } from '../error.ts'
import { checkPlan } from '../plan/check.ts'
import { breakGlassJson, planDigest, planJson } from '../plan/digest.ts'
import { pathText } from '../plan/fields.ts'
import { OPERATORS_MAX, VERSION_MAX } from '../plan/forms.ts'
import { sha256, tagged } from '../sealing/words.ts'
import type { BreakGlass, HostId, Plan } from '../types.ts'
import { breakGlass as decodeBreakGlass, decodePlan, planName } from './plan-json.ts'
import { SIGNATURE_BYTES, type Signer, verifierOf } from './signatures.ts'

export const SIGNED_PLAN_BYTES_MAX = 128 << 20
const SCHEMA = 'reprise/signed-plan/v1'
/** Changes of the operators in the life of a fleet. */
const HANDOVERS_MAX = 1000
const APPROVALS_MAX = 1 << 18

/** Of one operator of those who sign. */
export interface OperatorSignature {
  readonly operator: string
  readonly signature: Uint8Array
}

/** What operators sign of a plan: who they hand over to can be told without the plan itself. */
export interface PlanClaim {
  readonly fleet: string
  readonly version: number
  readonly operators: BreakGlass
  /** Digest of the plan. */
  readonly plan: Uint8Array
}

/** An earlier plan from which on other operators sign; the first one is the fleet's first plan, signed by its own. */
export interface Handover {
  readonly version: number
  readonly operators: BreakGlass
  readonly plan: Uint8Array
  readonly signatures: readonly OperatorSignature[]
}

/** The approver's word for one boot of one host: see {@link shareApprovals}. */
export interface PlanApproval {
  readonly host: HostId
  /** Name of a boot of the plan. */
  readonly boot: string
  readonly number: bigint
  readonly signature: Uint8Array
}

export interface SignedPlan {
  readonly plan: Plan
  readonly digest: Uint8Array
  /** Oldest first; empty in a fleet's first plan. */
  readonly handovers: readonly Handover[]
  readonly signatures: readonly OperatorSignature[]
  /** Not covered by the signatures of operators: each is the approver's own. */
  readonly approvals: readonly PlanApproval[]
}

/** What a host goes by when it takes a plan. */
export type KnownPlan =
  /** At provisioning: this plan and no other. */
  | { readonly kind: 'pinned'; readonly digest: Uint8Array }
  /** The newest one that it took. */
  | { readonly kind: 'plan'; readonly plan: Plan }

/** The message of a signature under a plan, before hashing with SHA-256. */
export function planMessage({ fleet, version, operators, plan }: PlanClaim, operator: string): Uint8Array {
  const hashed = sha256(
    tagged('reprise/recovery-operators/v1')
      .sized(utf8(canonical(breakGlassJson(operators))))
      .done(),
  )
  const tuple = tagged('reprise/recovery-plan-signature/v1').sized(utf8(fleet)).u64(BigInt(version))
  return tuple.sized(hashed).sized(plan).sized(utf8(operator)).done()
}

const signature = object<OperatorSignature>({ operator: planName, signature: bytes(SIGNATURE_BYTES) })
export const decodeSignatures = list(signature, OPERATORS_MAX)
const handover = object<Handover>({
  version: integer(1, VERSION_MAX),
  operators: decodeBreakGlass,
  plan: bytes(32),
  signatures: decodeSignatures,
})
const approval = object<PlanApproval>({
  host: planName,
  boot: planName,
  number: bigDecimal,
  signature: bytes(SIGNATURE_BYTES),
})
const file = object<{ schema: typeof SCHEMA } & Omit<SignedPlan, 'digest'>>({
  schema: oneOf(SCHEMA),
  plan: decodePlan,
  handovers: list(handover, HANDOVERS_MAX),
  signatures: decodeSignatures,
  approvals: list(approval, APPROVALS_MAX),
})

/** The file; {@link parseSignedPlan} reads it. */
export function encodeSignedPlan({ plan, handovers, signatures, approvals }: Omit<SignedPlan, 'digest'>): Uint8Array {
  const rest = {
    handovers: handovers.map((each) => ({ ...each, operators: breakGlassJson(each.operators) })),
    signatures,
    approvals,
  }
  return utf8(canonical({ schema: SCHEMA, plan: planJson(plan), ...(toJson(rest) as object) }))
}

/** Members in the order of canonical JSON: no YAML of people's begins so. */
const BEGINS = utf8('{"approvals":[')

/** Whether bytes claim to be a signed plan, and are no YAML of somebody's. */
export function isSignedPlan(content: Uint8Array): boolean {
  return equal(content.subarray(0, BEGINS.length), BEGINS)
}

/**
 * Reads a signed plan as far as it is signed: every signature that is there holds, and there may be too few of them under
 * the plan itself. Approvals are not verified here.
 *
 * @throws {@link RecoveryError} `SIGNED_PLAN`.
 */
export function parseSignedPlan(content: Uint8Array): SignedPlan {
  const parsed = decodeFile(content)
  const [problem] = checkPlan(parsed.plan)
  if (problem !== undefined)
    throw refuse(`its plan is none: ${pathText(problem.path)}: ${problem.code}: ${problem.what}`, problem.hint)
  const signed = { ...parsed, digest: planDigest(parsed.plan, sha256) }
  checkHandovers(signed)
  checkSignatures(claimOf(signed), signed.signatures, signersOf(signed))
  return signed
}

function decodeFile(content: Uint8Array): Omit<SignedPlan, 'digest'> {
  let decoded
  try {
    decoded = file(parseCanonicalBytes(content, SIGNED_PLAN_BYTES_MAX, 'the signed plan'), 'plan')
  } catch (cause) {
    throw refuse((cause as Error).message, 'get it again from whoever signed it, or from another host', cause)
  }
  const { schema: _, ...parsed } = decoded
  return parsed
}

/** Who signs this plan: the operators of the plan before it, or its own where it is the first. */
export function signersOf({ handovers, plan }: Pick<SignedPlan, 'handovers' | 'plan'>): BreakGlass {
  return handovers.at(-1)?.operators ?? plan.breakGlass
}

/** How many signatures are still wanted. */
export function signaturesMissing(signed: Pick<SignedPlan, 'handovers' | 'plan' | 'signatures'>): number {
  return Math.max(0, signersOf(signed).needed - signed.signatures.length)
}

function claimOf({ plan, digest }: Pick<SignedPlan, 'plan' | 'digest'>): PlanClaim {
  return { fleet: plan.fleet, version: plan.roster.version, operators: plan.breakGlass, plan: digest }
}

function checkHandovers({ plan, handovers }: Pick<SignedPlan, 'plan' | 'handovers'>): void {
  let before: Handover | undefined
  for (const each of handovers) {
    const signers = before?.operators ?? each.operators
    if (each.version <= (before?.version ?? 0) || each.version >= plan.roster.version)
      throw refuse(`its handover of version ${each.version} is out of order`, 'get it again from whoever signed it')
    checkSignatures({ fleet: plan.fleet, ...each }, each.signatures, signers)
    checkEnough(each.signatures, signers, `the handover of version ${each.version}`)
    before = each
  }
}

function checkSignatures(claim: PlanClaim, signatures: readonly OperatorSignature[], signers: BreakGlass): void {
  const names = new Set<string>()
  for (const { operator, signature: signed } of signatures) {
    const key = signers.keys.find(({ name }) => name === operator)
    const what = `the signature of ${operator} under version ${claim.version}`
    if (key === undefined) throw refuse(`${what} is of nobody who signs it`, signersHint(signers))
    if (names.has(operator)) throw refuse(`${what} is there twice`, 'take one of them out')
    names.add(operator)
    if (!verifierOf(key.publicKey)(planMessage(claim, operator), signed))
      throw refuse(
        `${what} does not hold`,
        `the file was changed, or signed with another key than the plan has for ${operator}`,
      )
  }
}

function checkEnough(signatures: readonly OperatorSignature[], signers: BreakGlass, what: string): void {
  const { needed, keys } = signers
  if (needed === 0) throw refuse(`${what} names no operators`, 'a plan that is signed has breakGlass keys')
  if (signatures.length < needed)
    throw refuse(
      `${what} is signed by ${signatures.length} of ${keys.length} operators, and ${needed} are needed`,
      `have others sign: reprise recovery sign FILE --key KEY; ${signersHint(signers)}`,
    )
}

function signersHint({ keys }: BreakGlass): string {
  return `the operators who sign it are ${keys.map(({ name }) => name).join(', ')}`
}

function refuse(why: string, hint: string, cause?: unknown): RecoveryError {
  return new RecoveryError('SIGNED_PLAN', { message: `This signed plan is not taken: ${why}.`, hint, cause })
}

/**
 * Reads a plan that counts: signed by enough of the operators of the plan before it, and for whom it is to.
 *
 * @param known - What the reader has; left out, only that the file is whole and signed by enough of its own operators.
 * @returns The plan. One of the version that is known is taken when it is the same one: it may have more approvals.
 * @throws {@link RecoveryError} `SIGNED_PLAN`, `PLAN_OLD`.
 */
export function readSignedPlan(content: Uint8Array, known?: KnownPlan): SignedPlan {
  const signed = parseSignedPlan(content)
  checkEnough(signed.signatures, signersOf(signed), `version ${signed.plan.roster.version}`)
  if (known?.kind === 'pinned' && !equal(known.digest, signed.digest))
    throw refuse(
      `its digest is ${hex(signed.digest)}, and ${hex(known.digest)} is pinned`,
      'bring the plan that was pinned',
    )
  if (known?.kind === 'plan') checkFollows(signed, known.plan)
  return signed
}

function checkFollows({ plan, digest, handovers }: SignedPlan, known: Plan): void {
  if (plan.fleet !== known.fleet)
    throw refuse(`it is of the fleet ${plan.fleet}, and this is ${known.fleet}`, 'bring the plan of this fleet')
  const [version, knownVersion] = [plan.roster.version, known.roster.version]
  if (version === knownVersion && equal(digest, planDigest(known, sha256))) return
  if (version <= knownVersion)
    throw new RecoveryError('PLAN_OLD', {
      message: `This signed plan has version ${version}, and ${version < knownVersion ? `version ${knownVersion}` : 'another plan of that version'} is known.`,
      hint:
        version < knownVersion
          ? 'Bring the newest one.'
          : 'Operators signed two plans of one version: find out who did, and sign one with a higher version.',
      data: { version, known: knownVersion },
    })
  const then = handovers.findLast((each) => each.version <= knownVersion)
  if (then === undefined || !sameOperators(then.operators, known.breakGlass))
    throw refuse(
      `it does not go back to the operators of version ${knownVersion}`,
      'make it from the newest signed plan: reprise recovery sign PLAN.yaml --previous FILE',
    )
}

export function sameOperators(a: BreakGlass, b: BreakGlass): boolean {
  return canonical(breakGlassJson(a)) === canonical(breakGlassJson(b))
}

/**
 * A plan with nobody's signature, after another one.
 *
 * @param previous - With enough signatures; undefined: the fleet's first.
 * @throws {@link RecoveryError} `SIGNED_PLAN` when the version does not grow, or the fleet is another one.
 */
export function followingPlan(plan: Plan, previous: SignedPlan | undefined): SignedPlan {
  const next = { plan, digest: planDigest(plan, sha256), signatures: [], approvals: [] }
  if (previous === undefined) return { ...next, handovers: [] }
  const before = previous.plan
  checkEnough(previous.signatures, signersOf(previous), `the plan before it, version ${before.roster.version},`)
  if (plan.fleet !== before.fleet) throw refuse(`it is of ${plan.fleet}, and the plan before it of ${before.fleet}`, '')
  if (plan.roster.version <= before.roster.version)
    throw refuse(
      `its version is ${plan.roster.version}, and the plan before it has ${before.roster.version}`,
      `write version: ${before.roster.version + 1}`,
    )
  const isHandover = previous.handovers.length === 0 || !sameOperators(signersOf(previous), before.breakGlass)
  const made = { version: before.roster.version, operators: before.breakGlass, plan: previous.digest }
  const handovers = isHandover
    ? [...previous.handovers, { ...made, signatures: previous.signatures }]
    : previous.handovers
  return { ...next, handovers }
}

/**
 * Adds the signature of an operator; one who signed already is not counted twice.
 *
 * @throws {@link RecoveryError} `KEY` when the key is of none of those who sign this plan.
 */
export function signPlan(signed: SignedPlan, signer: Signer): SignedPlan {
  const signers = signersOf(signed)
  const operator = signers.keys.find(({ publicKey }) => publicKey === signer.point)?.name
  if (operator === undefined)
    throw new RecoveryError('KEY', {
      message: `The key ${signer.point.slice(0, 10)}… is of none of those who sign version ${signed.plan.roster.version}.`,
      hint: `${signersHint(signers)}; their keys are those of ${signed.handovers.length === 0 ? 'this plan' : 'the plan before it'}`,
    })
  const made = { operator, signature: signer.sign(planMessage(claimOf(signed), operator)) }
  const others = signed.signatures.filter((each) => each.operator !== operator)
  return { ...signed, signatures: [...others, made].toSorted((a, b) => (a.operator < b.operator ? -1 : 1)) }
}
