/** Enrolling this host at an authority that is reached over HTTP. */

import { equal, fromHex, hex } from '@reprise/core'
import { HostError } from '../error.ts'
import { hostPaths } from '../home.ts'
import type { EnrolmentReport } from '../identity/report.ts'
import type { Signer } from '../signer/client.ts'
import { pause } from '../signer/within.ts'
import type { ChainFacts } from './chain.ts'
import { ask, authorityAddress, type Asking } from './http.ts'
import type { EnrolDecision } from './messages.ts'
import { forgetPending, type Pending, readPending, writePending } from './pending.ts'
import { answerChallenge, makeRequest, type Pin, takeDecision } from './steps.ts'

export interface EnrolOptions {
  readonly home: string
  readonly signer: Signer
  readonly authority: string
  readonly name: string
  /** Without one, the authority that enrolled this host before; without that, whichever answers. */
  readonly pin: Pin
  /** Enrol again though the certificate is good for long. */
  readonly renew: boolean
  /** How long to wait for an operator; 0 not at all. */
  readonly waitMs: number
  readonly now: Date
  readonly signal?: AbortSignal
}

export type Enrolled =
  | { readonly state: 'issued'; readonly facts: ChainFacts }
  /** It was enrolled, and stays so for long. */
  | { readonly state: 'enrolled'; readonly enrolment: EnrolmentReport }
  | { readonly state: 'waiting'; readonly request: string; readonly name: string }

const POLL_MIN_MS = 200
const POLL_MAX_MS = 10_000

/**
 * @throws {@link HostError} `AUTHORITY_UNREACHABLE`, `AUTHORITY_UNKNOWN`, `ENROLMENT_REFUSED`, `CERTIFICATE`; what the signer throws.
 */
export async function enrolHost(options: EnrolOptions): Promise<Enrolled> {
  const { signer, name, renew, now } = options
  const { enrolment } = await signer.show()
  const pin = options.pin ?? (enrolment === null ? null : fromHex(enrolment.authority))
  const isThere = enrolment !== null && enrolment.name === name && hex(pin ?? new Uint8Array()) === enrolment.authority
  if (isThere && !renew && !isDue(enrolment, now)) return { state: 'enrolled', enrolment }

  const asking = { authority: authorityAddress(options.authority), signal: options.signal }
  const { pending: path } = hostPaths(options.home)
  try {
    const decision = (await pendingDecision(options, asking, path)) ?? (await begin(options, asking, path, pin))
    const decided = await waitFor(options, asking, decision)
    const facts = await takeDecision(signer, decided, pin)
    if (facts === undefined) return { state: 'waiting', request: hex(decided.request), name: decided.name }
    await forgetPending(path)
    return { state: 'issued', facts }
  } catch (error) {
    if (error instanceof HostError && error.code === 'ENROLMENT_REFUSED') await forgetPending(path)
    throw error
  }
}

/** A certificate is renewed in the last third of its time. */
export function isDue({ certificate: { validFrom, validTo } }: EnrolmentReport, now: Date): boolean {
  const [from, to] = [new Date(validFrom).getTime(), new Date(validTo).getTime()]
  return now.getTime() > to - (to - from) / 3
}

/** What became of a request that was made before; undefined when there is none that counts. */
async function pendingDecision(
  { signer, name }: EnrolOptions,
  asking: Asking,
  path: string,
): Promise<EnrolDecision | undefined> {
  const pending = await readPending(path)
  const isOurs =
    pending?.authority === asking.authority && pending.name === name && equal(pending.hostId, signer.host.hostId)
  if (!isOurs) return undefined
  const decision = await decisionOf(asking, pending).catch((error: unknown) => {
    if (error instanceof HostError && error.data['refusal'] === 'UNKNOWN') return undefined
    throw error
  })
  // A challenge that was never answered, and whose credential nobody has any more.
  return decision?.state === 'challenged' ? undefined : decision
}

function decisionOf(asking: Asking, { request }: Pick<Pending, 'request'>): Promise<EnrolDecision> {
  return ask(asking, `/v1/requests/${hex(request)}`, 'reprise/enrol-decision/v1')
}

async function begin(options: EnrolOptions, asking: Asking, path: string, pin: Pin): Promise<EnrolDecision> {
  const { signer, name } = options
  const request = await makeRequest(signer, name)
  const challenge = await ask(asking, '/v1/requests', 'reprise/enrol-challenge/v1', request)
  const answer = await answerChallenge(signer, challenge, pin)
  // Before the answer goes out: whatever is lost from here on, the request is found again.
  const { authority } = asking
  const { hostId } = signer.host
  await writePending(path, {
    schema: 'reprise/enrolment-pending/v1',
    authority,
    request: challenge.request,
    name,
    hostId,
  })
  return await ask(asking, `/v1/requests/${hex(challenge.request)}/answer`, 'reprise/enrol-decision/v1', answer)
}

async function waitFor(options: EnrolOptions, asking: Asking, decision: EnrolDecision): Promise<EnrolDecision> {
  const deadline = performance.now() + options.waitMs
  let decided = decision
  for (let pauseMs = POLL_MIN_MS; decided.state === 'waiting'; pauseMs = Math.min(2 * pauseMs, POLL_MAX_MS)) {
    if (performance.now() + pauseMs > deadline) break
    await pause(pauseMs, options.signal)
    decided = await decisionOf(asking, decision)
  }
  return decided
}
