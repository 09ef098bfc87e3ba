/** What operators say together besides plans: that a host is revoked, that its lease counts anew, what may be delivered to it. Format: spec/operators.md §4. */
import { canonical, parseCanonicalBytes, utf8 } from '@reprise/core'
import { type Decode, integer, object, oneOf, toJson } from '@reprise/host/decode'
import { RecoveryError } from '../error.ts'
import { DURATION_MS_MAX, WALL_MS_MAX } from '../plan/fields.ts'
import { sha256, tagged } from '../sealing/words.ts'
import type { HostId, Plan } from '../types.ts'
import { planName } from './plan-json.ts'
import type { Signer } from './signatures.ts'
import { verifierOf } from './signatures.ts'
import { decodeSignatures, type OperatorSignature } from './signed-plan.ts'

const SCHEMA = 'reprise/recovery-statement/v1'
export const STATEMENT_BYTES_MAX = 1 << 16

export type Statement =
  /** Nothing is released to this host any more, and nothing of it counts, until a plan has another attestation key for it. */
  | {
      readonly kind: 'revocation'
      readonly fleet: string
      readonly host: HostId
      /** Wall clock of whoever made it. */
      readonly madeMs: number
    }
  /** At that time, by wall clock, the lease of the host was so old; it counts as a heartbeat. */
  | {
      readonly kind: 'extension'
      readonly fleet: string
      readonly host: HostId
      readonly fromMs: number
      readonly ageMs: number
    }
  /** Another host may deliver credentials and image keys to the host, once. */
  | {
      readonly kind: 'delivery'
      readonly fleet: string
      readonly host: HostId
      readonly by: HostId
      readonly madeMs: number
      readonly untilMs: number
    }

export type StatementKind = Statement['kind']

/** What passes from host to host. */
export type SpreadStatement = Exclude<Statement, { readonly kind: 'delivery' }>

export interface SignedStatement {
  readonly statement: Statement
  readonly signatures: readonly OperatorSignature[]
  /** By which two of them are one. */
  readonly digest: Uint8Array
}

/** Each kind has a tag of its own: a signature under one says nothing of another. */
function statementMessage(statement: Statement, operator: string): Uint8Array {
  return tagged(`reprise/recovery-${statement.kind}/v1`)
    .sized(utf8(canonical(statement)))
    .sized(utf8(operator))
    .done()
}

export function statementDigest(statement: Statement): Uint8Array {
  return sha256(
    tagged(SCHEMA)
      .sized(utf8(canonical(statement)))
      .done(),
  )
}

type Of<Kind extends StatementKind> = Statement & { readonly kind: Kind }
const wallMs = integer(0, WALL_MS_MAX)
const KINDS: { readonly [Kind in StatementKind]: Decode<Of<Kind>> } = {
  revocation: object<Of<'revocation'>>({ kind: oneOf('revocation'), fleet: planName, host: planName, madeMs: wallMs }),
  extension: object<Of<'extension'>>({
    kind: oneOf('extension'),
    fleet: planName,
    host: planName,
    fromMs: wallMs,
    ageMs: integer(0, DURATION_MS_MAX),
  }),
  delivery: object<Of<'delivery'>>({
    kind: oneOf('delivery'),
    fleet: planName,
    host: planName,
    by: planName,
    madeMs: wallMs,
    untilMs: wallMs,
  }),
}
const kindOf = oneOf('revocation', 'extension', 'delivery')
const decodeStatement: Decode<Statement> = (value, path) => {
  const kind = kindOf((value as { kind?: unknown } | null)?.kind, `${path}.kind`)
  return KINDS[kind](value, path)
}
const file = object<{ schema: typeof SCHEMA } & Omit<SignedStatement, 'digest'>>({
  schema: oneOf(SCHEMA),
  statement: decodeStatement,
  signatures: decodeSignatures,
})

export function encodeStatement({ statement, signatures }: Omit<SignedStatement, 'digest'>): Uint8Array {
  return utf8(canonical({ schema: SCHEMA, statement, signatures: toJson(signatures) }))
}

/**
 * Reads a statement as far as it is signed: all signatures hold, and there may be too few.
 *
 * @param plan - The newest one that the reader knows.
 * @throws {@link RecoveryError} `STATEMENT`.
 */
export function parseStatement(content: Uint8Array, plan: Plan): SignedStatement {
  const { statement, signatures } = decodeFile(content)
  if (statement.fleet !== plan.fleet)
    throw refuse(`it is of the fleet ${statement.fleet}, and this is ${plan.fleet}`, 'bring the one for this fleet')
  for (const host of hostsOf(statement))
    if (!plan.roster.hosts.some(({ id }) => id === host))
      throw refuse(`it is of ${host}, which is no host of version ${plan.roster.version}`, 'check the spelling')
  if (new Set(hostsOf(statement)).size < hostsOf(statement).length)
    throw refuse(`it lets ${statement.host} deliver to itself`, 'provision it where it stands')
  const names = new Set<string>()
  for (const { operator, signature } of signatures) {
    const key = plan.breakGlass.keys.find(({ name }) => name === operator)
    if (key === undefined || names.has(operator))
      throw refuse(
        `${operator} is ${key === undefined ? 'no operator' : 'there twice'}`,
        `the operators of version ${plan.roster.version} are ${plan.breakGlass.keys.map(({ name }) => name).join(', ')}`,
      )
    names.add(operator)
    if (!verifierOf(key.publicKey)(statementMessage(statement, operator), signature))
      throw refuse(`the signature of ${operator} does not hold`, 'have it signed again')
  }
  return { statement, signatures, digest: statementDigest(statement) }
}

function hostsOf(statement: Statement): readonly HostId[] {
  return statement.kind === 'delivery' ? [statement.host, statement.by] : [statement.host]
}

function decodeFile(content: Uint8Array): Omit<SignedStatement, 'digest'> {
  try {
    return file(parseCanonicalBytes(content, STATEMENT_BYTES_MAX, 'the statement'), 'statement')
  } catch (cause) {
    throw refuse((cause as Error).message, 'have it made anew', cause)
  }
}

/**
 * Reads a statement that counts.
 *
 * @throws {@link RecoveryError} `STATEMENT`.
 */
export function readStatement(content: Uint8Array, plan: Plan): SignedStatement {
  const signed = parseStatement(content, plan)
  const { needed, keys } = plan.breakGlass
  if (needed === 0 || signed.signatures.length < needed)
    throw refuse(
      `it is signed by ${signed.signatures.length} of ${keys.length} operators, and ${needed || 'some'} are needed`,
      `have others sign the file, with the same command and their keys`,
    )
  return signed
}

/** @throws {@link RecoveryError} `KEY` when the key is no operator's. */
export function signStatement(
  { statement, signatures }: Omit<SignedStatement, 'digest'>,
  signer: Signer,
  plan: Plan,
): SignedStatement {
  const operator = plan.breakGlass.keys.find(({ publicKey }) => publicKey === signer.point)?.name
  if (operator === undefined)
    throw new RecoveryError('KEY', {
      message: `The key ${signer.point.slice(0, 10)}… is of no operator of version ${plan.roster.version}.`,
      hint: `the operators are ${plan.breakGlass.keys.map(({ name }) => name).join(', ')}`,
    })
  const made = { operator, signature: signer.sign(statementMessage(statement, operator)) }
  const others = signatures.filter((each) => each.operator !== operator)
  const all = [...others, made].toSorted((a, b) => (a.operator < b.operator ? -1 : 1))
  return { statement, signatures: all, digest: statementDigest(statement) }
}

function refuse(why: string, hint: string, cause?: unknown): RecoveryError {
  return new RecoveryError('STATEMENT', { message: `This statement of operators is not taken: ${why}.`, hint, cause })
}
