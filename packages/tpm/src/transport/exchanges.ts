/** For tests: what is done with a TPM so that its exchanges can be recorded once and replayed: a boot statement and a quote. */

import { createHash } from 'node:crypto'
import { hex, STARTUP_CLEAR_REQUEST, TPM_ALG, TPMA_NV, utf8 } from '@reprise/core'
import { GetSessionAuditDigest, NvCertify, Quote } from '../commands/attest.ts'
import { GetCapability, readProperties } from '../commands/general.ts'
import { NvDefineSpace, NvIncrement, openNvIndex } from '../commands/nv.ts'
import { CreatePrimary } from '../commands/object.ts'
import { readPcrs } from '../commands/pcr.ts'
import { StartAuthSession } from '../commands/session.ts'
import { ENDORSEMENT, OWNER } from '../entity.ts'
import { attestationKeyTemplate } from '../templates.ts'
import { connect, type ConnectOptions } from '../tpm.ts'
import type { Transport } from './transport.ts'

const SELECTION = [{ hash: TPM_ALG.SHA256, pcrs: [0, 1, 2, 3, 4, 5, 6, 7] }]
const INDEX = 0x01803500
const ATTRIBUTES = TPMA_NV.COUNTER | TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA

/** Bytes that are the same each time, so that commands are. */
function drawn(): (lengthBytes: number) => Uint8Array {
  let count = 0
  return (lengthBytes) =>
    new Uint8Array(createHash('shake256', { outputLength: lengthBytes }).update(String(count++)).digest())
}

/**
 * Makes an attestation key and a counter, has the TPM say how it was started, certify the counter and quote its registers.
 *
 * @returns The attestations, hex.
 */
export async function stateAndQuote(
  transport: Transport,
  options: ConnectOptions = {},
): Promise<{ readonly startup: string; readonly counter: string; readonly quote: string }> {
  const random = drawn()
  const tpm = connect(transport, { random, ...options })
  const qualifyingData = utf8('recorded')
  await readProperties(tpm, 0x100, 16)
  await using ak = await tpm.execute(
    CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic: attestationKeyTemplate(utf8('recorded')) }),
  )
  const publicInfo = { nvIndex: INDEX, nameAlg: TPM_ALG.SHA256, attributes: ATTRIBUTES, authPolicy: new Uint8Array() }
  const auth = utf8('secret')
  await tpm.execute(NvDefineSpace({ authHandle: OWNER, publicInfo: { ...publicInfo, dataSize: 8 }, auth }))
  const unwritten = await openNvIndex(tpm, INDEX, auth)
  await tpm.execute(NvIncrement({ authHandle: unwritten, nvIndex: unwritten }))
  const nvIndex = await openNvIndex(tpm, INDEX, auth)
  await using session = await tpm.execute(StartAuthSession({ sessionType: 'hmac', audit: true, random }))
  await tpm.execute(GetCapability(STARTUP_CLEAR_REQUEST), { sessions: [session] })
  const request = { privacyAdminHandle: ENDORSEMENT, signHandle: ak, sessionHandle: session, qualifyingData }
  const startup = await tpm.execute(GetSessionAuditDigest(request))
  const counter = await tpm.execute(
    NvCertify({ signHandle: ak, authHandle: nvIndex, nvIndex, size: 8, qualifyingData }),
  )
  const quote = await tpm.execute(Quote({ signHandle: ak, qualifyingData, pcrSelect: SELECTION }))
  await readPcrs(tpm, SELECTION)
  return { startup: hex(startup.attest), counter: hex(counter.attest), quote: hex(quote.attest) }
}
