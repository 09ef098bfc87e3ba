/** `enrolment.json`, beside the identity: what an authority issued to it. Only the signer writes it. */

import { fromUtf8 } from '@reprise/core'
import { HostError } from '../error.ts'
import { readIfThere, writeAtomically } from '../files.ts'
import { object, oneOf, toJson } from '../signer/decode.ts'
import type { Enrolment } from '../signer/protocol.ts'
import { akCertificate, akCertificates } from './messages.ts'

const SCHEMA = 'reprise/enrolment/v1'
const decode = object<Enrolment & { readonly schema: typeof SCHEMA }>({
  schema: oneOf(SCHEMA),
  root: akCertificate,
  certificates: akCertificates,
})

/**
 * @returns Undefined for a host that no authority enrolled.
 * @throws {@link HostError} `IDENTITY_DAMAGED` for a file that is not exactly an enrolment of this AK.
 */
export async function readEnrolment(path: string, akPublic: Uint8Array): Promise<Enrolment | undefined> {
  const content = await readIfThere(path)
  if (content === undefined) return undefined
  try {
    const { root, certificates } = decode(JSON.parse(fromUtf8(content)), 'enrolment')
    await checkChain({ root, certificates }, akPublic)
    return { root, certificates }
  } catch (cause) {
    throw new HostError('IDENTITY_DAMAGED', {
      message: `${path} is damaged: ${(cause as Error).message}`,
      hint: 'Bring the file back from a backup; or remove it, and enrol this host again: reprise host enroll',
      cause,
    })
  }
}

/** @throws {@link HostError} `CERTIFICATE` when the certificates are not of this AK; then nothing is kept. */
export async function keepEnrolment(path: string, enrolment: Enrolment, akPublic: Uint8Array): Promise<void> {
  await checkChain(enrolment, akPublic)
  const { root, certificates } = enrolment
  await writeAtomically(path, `${JSON.stringify(toJson({ schema: SCHEMA, root, certificates }), undefined, 2)}\n`)
}

/** Loaded when there is something to check: a signer of a host that enrolled itself needs no X.509. */
async function checkChain(enrolment: Enrolment, akPublic: Uint8Array): Promise<void> {
  const chain = await import('./chain.ts')
  await chain.checkChain(enrolment, akPublic)
}
