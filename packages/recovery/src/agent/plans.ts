/** The newest plan and what operators said since: taken when they count, kept, and passed on. Rules: spec/agent.md §1, spec/operators.md §2, §4. */

import { equal } from '@reprise/core'
import { bytes, list, object, oneOf } from '@reprise/host/decode'
import {
  encodeSignedPlan,
  joinApprovals,
  type KnownPlan,
  readSignedPlan,
  readStatement,
  SIGNED_PLAN_BYTES_MAX,
  type SpreadStatement,
  STATEMENT_BYTES_MAX,
} from '../operators/index.ts'
import { RecoveryError } from '../error.ts'
import type { HostId } from '../types.ts'
import { readIfThere, writeAtomically } from '@reprise/host/files'
import { type FleetView, fleetView } from './fleet-view.ts'
import { inOrder } from './ground.ts'
import { digestOf, readState, type StateFile, type StatePaths, writeState } from './state/folder.ts'

export interface StatementsFile {
  readonly schema: typeof SCHEMA
  /** Newest first. */
  readonly statements: readonly KeptStatement[]
}

/** By its digest two of them are one, whoever signed them and how. */
export interface KeptStatement {
  readonly digest: Uint8Array
  /** As it was signed. */
  readonly signed: Uint8Array
}

const SCHEMA = 'reprise/recovery-statements/v1'
const STATEMENTS_MAX = 1024
export const STATEMENTS_FILE: StateFile<StatementsFile> = {
  schema: SCHEMA,
  bytesMax: 2 * STATEMENTS_MAX * STATEMENT_BYTES_MAX + 4096,
  decode: object<StatementsFile>({
    schema: oneOf(SCHEMA),
    statements: list(
      object<KeptStatement>({ digest: bytes(32), signed: bytes(1, STATEMENT_BYTES_MAX) }),
      STATEMENTS_MAX,
    ),
  }),
}

export interface Plans {
  readonly fleet: FleetView
  /** Newest first. */
  readonly statements: readonly KeptStatement[]
  /** @returns Undefined when it is the one that is known. @throws RecoveryError `SIGNED_PLAN`, `PLAN_OLD`, `PLAN`. */
  readonly take: (signed: Uint8Array) => Promise<FleetView | undefined>
  /** @returns Undefined when it was heard before. @throws RecoveryError `STATEMENT`. */
  readonly hear: (
    signed: Uint8Array,
  ) => Promise<{ readonly statement: SpreadStatement; readonly digest: Uint8Array } | undefined>
}

/**
 * The plan of a host that has none yet: while no agent runs.
 *
 * @param pin - Digest of the only plan that is taken.
 */
export async function installPlan(
  paths: StatePaths,
  host: HostId,
  signed: Uint8Array,
  pin?: Uint8Array,
): Promise<void> {
  const before = await readIfThere(paths.plan)
  const known: KnownPlan | undefined =
    before !== undefined ? { kind: 'plan', plan: readSignedPlan(before).plan } : pin && { kind: 'pinned', digest: pin }
  fleetView(readSignedPlan(signed, known), signed, host)
  await writeAtomically(paths.plan, signed)
}

/** @throws RecoveryError `NOT_NOW` without a plan, `STATE` when it is damaged. */
export async function openPlans(paths: StatePaths, host: HostId): Promise<Plans> {
  const signed = await readIfThere(paths.plan)
  if (signed === undefined)
    throw new RecoveryError('NOT_NOW', {
      message: `${paths.folder} has no plan: the host was not provisioned.`,
      hint: 'reprise recovery provision --state DIR --plan SIGNED',
    })
  let fleet = fleetView(readKept(paths.plan, signed), signed, host)
  let statements = (await readState(paths.statements, STATEMENTS_FILE))?.statements ?? []
  const inTurn = inOrder()
  return {
    get fleet() {
      return fleet
    },
    get statements() {
      return statements
    },
    take: (file) =>
      inTurn(async () => {
        if (file.length > SIGNED_PLAN_BYTES_MAX || equal(file, fleet.signed)) return undefined
        const plan = readSignedPlan(file, { kind: 'plan', plan: fleet.plan })
        const isSame = plan.plan.roster.version === fleet.plan.roster.version
        // Of one version the approvals of both are kept: the approver may have been at several hosts.
        const joined = isSame ? joinApprovals(fleet.held().plan, plan) : plan
        if (isSame && joined.approvals.length === fleet.held().plan.approvals.length) return undefined
        const kept = isSame ? encodeSignedPlan(joined) : file
        const next = fleetView(joined, kept, host)
        await writeAtomically(paths.plan, kept)
        fleet = next
        return next
      }),
    hear: (file) =>
      inTurn(async () => {
        if (statements.some(({ signed: one }) => equal(one, file))) return undefined
        const { statement, digest } = readStatement(file, fleet.plan)
        if (statement.kind === 'delivery')
          throw new RecoveryError('STATEMENT', {
            message: 'A permission to deliver goes with what is delivered, and not from host to host.',
            hint: `On the host ${statement.by}: reprise recovery provision --to ${statement.host} --permit FILE`,
          })
        if (statements.some((one) => equal(one.digest, digest))) return undefined
        const next = [{ digest, signed: file }, ...statements].slice(0, STATEMENTS_MAX)
        await writeState(paths.statements, STATEMENTS_FILE, { schema: SCHEMA, statements: next })
        statements = next
        return { statement, digest }
      }),
  }
}

function readKept(path: string, signed: Uint8Array): ReturnType<typeof readSignedPlan> {
  try {
    return readSignedPlan(signed)
  } catch (cause) {
    throw new RecoveryError('STATE', {
      message: `${path} is damaged (SHA-256 ${digestOf(signed)}): ${(cause as Error).message}`,
      hint: 'Bring the newest signed plan back, from a backup or from another host.',
      data: { path },
      cause,
    })
  }
}
