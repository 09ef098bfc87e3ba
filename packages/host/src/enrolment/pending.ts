/** `enrolment-pending.json`: a request that an authority has not decided yet, so that a host asks for it again. */

import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fromUtf8 } from '@reprise/core'
import { readIfThere, syncFolder, writeAtomically } from '../files.ts'
import { object, oneOf, text, toJson } from '../signer/decode.ts'
import { digest, hostName } from './messages.ts'

export interface Pending {
  readonly schema: 'reprise/enrolment-pending/v1'
  readonly authority: string
  readonly request: Uint8Array
  readonly name: string
  /** Of who asked: another identity begins anew. */
  readonly hostId: Uint8Array
}

const decode = object<Pending>({
  schema: oneOf('reprise/enrolment-pending/v1'),
  authority: text(2000),
  request: digest,
  name: hostName,
  hostId: digest,
})

/** Undefined when there is none; one that cannot be read counts for none, since asking anew does no harm. */
export async function readPending(path: string): Promise<Pending | undefined> {
  const content = await readIfThere(path)
  if (content === undefined) return undefined
  try {
    return decode(JSON.parse(fromUtf8(content)), 'pending')
  } catch {
    return undefined
  }
}

export async function writePending(path: string, pending: Pending): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(toJson(pending), undefined, 2)}\n`)
}

export async function forgetPending(path: string): Promise<void> {
  await rm(path, { force: true })
  await syncFolder(dirname(path))
}
