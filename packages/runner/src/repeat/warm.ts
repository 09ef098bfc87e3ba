/** The first step of a repetition that begins warm: whether the program comes to the sealed start. Rules: spec/computation.md §6.5. */
import type { Computation } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { warmRootOf } from '../run/index.ts'

export type RepeatedStart =
  | { readonly kind: 'cold' }
  | {
      readonly kind: 'warm'
      readonly reproduced: boolean
      /** SnapshotRoots, hex; the repetition has none when the program never becomes warm. */
      readonly snapshotRoot: { readonly original: string; readonly repetition: string | null }
    }

/**
 * Comes to the warm start by running the program there, now or earlier on this machine.
 *
 * @throws RunnerError when the warm-up cannot be made here; that it comes to something else is an answer.
 */
export async function repeatStart(
  { start, ...computation }: Computation,
  place: { readonly store: BlobStore; readonly home: string },
): Promise<RepeatedStart> {
  if (start === undefined) return { kind: 'cold' }
  const repetition = await warmRootOf({ ...computation, start }, place).catch((error: unknown) => {
    if (error instanceof RunnerError && error.code === 'WARM_START') return null
    throw error
  })
  const original = start.snapshotRoot
  return { kind: 'warm', reproduced: repetition === original, snapshotRoot: { original, repetition } }
}

export function startDiffers(start: RepeatedStart): boolean {
  return start.kind === 'warm' && !start.reproduced
}
