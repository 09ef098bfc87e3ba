/**
 * Small records are verified several at a time, and their signatures one after the other: between other work each takes
 * half as long again, for what it computes with has left the caches of the processor.
 */
import { statSync } from 'node:fs'
import type { Crypto, VerifyResult } from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'
import type { Partner } from './partner.ts'
import type { SignatureRequest } from './signature-batch.ts'
import { verifyFile, type VerifyPolicy } from './verify-file.ts'

/** Records of one batch; that of ten attestations each then brings a hundred signatures. */
const RECORDS_MAX = 10
/** Of their files: all of them are in memory. */
const BYTES_MAX = 1 << 20

export interface Batch {
  readonly paths: readonly string[]
  readonly lengthBytes: number
}

export type FileAnswer =
  | { readonly kind: 'verified'; readonly result: VerifyResult }
  | { readonly kind: 'failed'; readonly error: unknown }

/**
 * Neighbours, as many as fit; a record above the limit is a batch of its own.
 *
 * @param recordsMax - Fewer than usual where there are few, so that each thread has some.
 */
export function batchesOf(paths: readonly string[], recordsMax: number): readonly Batch[] {
  const batches: { paths: string[]; lengthBytes: number }[] = []
  for (const path of paths) {
    const sizeBytes = sizeOf(path)
    const last = batches.at(-1)
    const fits =
      last !== undefined &&
      last.paths.length < Math.min(recordsMax, RECORDS_MAX) &&
      last.lengthBytes + sizeBytes <= BYTES_MAX
    if (fits) {
      last.paths.push(path)
      last.lengthBytes += sizeBytes
    } else batches.push({ paths: [path], lengthBytes: sizeBytes })
  }
  return batches
}

/** What cannot be read has no length here, and its failure is its answer. */
function sizeOf(path: string): number {
  try {
    return statSync(path, { throwIfNoEntry: false })?.size ?? 0
  } catch {
    return 0
  }
}

/** @returns One answer for each path, in their order. Signatures are checked by `partner` while it keeps up. */
export async function verifyBatch(
  paths: readonly string[],
  { policy, partner }: { readonly policy: VerifyPolicy; readonly partner?: Partner | undefined },
): Promise<readonly FileAnswer[]> {
  const crypto = paths.length > 1 ? gathering(partner) : nodeCrypto
  return await Promise.all(
    paths.map(async (path): Promise<FileAnswer> => {
      try {
        return { kind: 'verified', result: await verifyFile(path, policy, { crypto }) }
      } catch (error) {
        return { kind: 'failed', error }
      }
    }),
  )
}

interface Waiting {
  readonly request: SignatureRequest
  readonly resolve: (holds: boolean | Promise<boolean>) => void
}

/** Checks the signatures that were asked for when nothing else is left to do. */
function gathering(partner: Partner | undefined): Crypto {
  let waiting: Waiting[] = []
  const checkAll = (): void => {
    const all = waiting
    waiting = []
    const here = (): void => all.forEach(({ request, resolve }) => resolve(nodeCrypto.verify(request)))
    if (partner === undefined || partner.isBusy()) here()
    else
      partner
        .check(all.map(({ request }) => request))
        .then((answers) => all.forEach(({ resolve }, i) => resolve(answers[i])), here)
  }
  return {
    ...nodeCrypto,
    verify: (request) =>
      new Promise((resolve) => {
        if (waiting.push({ request, resolve }) === 1) setImmediate(checkAll)
      }),
  }
}
