/** Verifies the record in a file. */
import { verifyRecord, type VerifyOptions, type VerifyResult } from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'
import { readingRecord } from '../record/index.ts'

/** What the reader of a record decides; plain data, which can be handed to a thread. */
export type VerifyPolicy = Omit<VerifyOptions, 'crypto' | 'onProgress'>

/** @throws EvidenceError `NOT_A_RECORD`; RunnerError `INPUT_MISSING` or `INPUT_UNREADABLE`. A failed check is an answer. */
export async function verifyFile(
  path: string,
  policy: VerifyPolicy,
  by: Partial<Pick<VerifyOptions, 'crypto' | 'onProgress'>> = {},
): Promise<VerifyResult> {
  return await readingRecord(path, async (source) => {
    await using _source = source
    return await verifyRecord(source, { crypto: nodeCrypto, ...policy, ...by })
  })
}
