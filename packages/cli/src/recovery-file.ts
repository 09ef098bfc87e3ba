/** The plan of a fleet from a file. */
import { PLAN_BYTES_MAX, readPlan, RecoveryError, type Plan } from '@reprise/recovery'
import { readAtMost } from './read-at-most.ts'

const SIGNED_BEGINS = '{"approvals":['

/**
 * A plan in YAML, or one that operators signed.
 *
 * @throws RecoveryError `PLAN_UNREADABLE`, `PLAN` with all mistakes, `SIGNED_PLAN`.
 */
export async function readPlanFile(path: string): Promise<Plan> {
  const bytes = await bytesOf(path)
  if (!Buffer.from(bytes.subarray(0, SIGNED_BEGINS.length)).equals(Buffer.from(SIGNED_BEGINS)))
    return readPlan(bytes, path)
  // Seldom, and it brings much with it.
  const { parseSignedPlan } = await import('@reprise/recovery/operators')
  return parseSignedPlan(bytes).plan
}

async function bytesOf(path: string): Promise<Uint8Array> {
  try {
    return await readAtMost(path, PLAN_BYTES_MAX)
  } catch (error) {
    throw new RecoveryError('PLAN_UNREADABLE', {
      message: `${path}: cannot be read (${error instanceof Error ? error.message : String(error)})`,
      hint: 'check the spelling, and that this user may read it',
      cause: error,
    })
  }
}
