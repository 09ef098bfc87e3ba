/** The plan of a fleet from a file. */
import { open } from 'node:fs/promises'
import { PLAN_BYTES_MAX, readPlan, RecoveryError, type Plan } from '@reprise/recovery'

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
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    // One byte more than is taken shows the reader that there is too much.
    const buffer = new Uint8Array(Math.min(size, PLAN_BYTES_MAX) + 1)
    let length = 0
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return buffer.subarray(0, length)
  } catch (error) {
    throw new RecoveryError('PLAN_UNREADABLE', {
      message: `${path}: cannot be read (${error instanceof Error ? error.message : String(error)})`,
      hint: 'check the spelling, and that this user may read it',
      cause: error,
    })
  }
}
