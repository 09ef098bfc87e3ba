/** The agent as a process: alone in its folder, asked at its socket, until it is told to end. Rules: spec/agent.md §3, §10. */

import { open } from 'node:fs/promises'
import { flock } from '@reprise/host/flock'
import { TpmError } from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import type { HostId } from '../types.ts'
import { type Agent, type AgentOptions, startAgent } from './agent.ts'
import { answering, offer } from './control/answers.ts'
import { askAgent } from './control/client.ts'
import { serveControl } from './control/server.ts'
import { hostTpm } from '../channel/host-tpm.ts'
import { installPlan } from './plans.ts'
import { prepareFolder, readNeeded, type StatePaths, statePaths } from './state/folder.ts'
import { HOST_FILE, type TpmPlace } from './state/host-file.ts'
import { clockNow } from './tpm/boot-facts.ts'
import { makeIdentity, openAk } from './tpm/identity.ts'
import { openTpm } from './tpm/open-tpm.ts'

/** How often the TPM is asked whether it is there, besides all that is asked of it. */
const TPM_WATCH_MS = 5000

/** @returns Undefined when another process has it. */
async function takeLock(paths: StatePaths): Promise<AsyncDisposable | undefined> {
  const file = await open(paths.lock, 'a', 0o600)
  try {
    if (await flock(file.fd, { mode: 'exclusive', waitSeconds: 0 })) return file
  } catch (cause) {
    await file.close()
    throw new RecoveryError('AGENT', {
      message: `${paths.lock} cannot be locked: ${(cause as Error).message}`,
      hint: 'Install flock(1): sudo apt-get install util-linux',
      cause,
    })
  }
  await file.close()
  return undefined
}

/**
 * Runs the agent until the signal, or until it is told to stop.
 *
 * @param onStarted - It serves.
 * @throws {@link RecoveryError} `BUSY` when an agent runs for this folder already, `TPM` when the TPM is gone; what {@link startAgent} throws.
 */
export async function runAgent(
  options: AgentOptions & { readonly signal: AbortSignal; readonly onStarted?: (agent: Agent) => void },
): Promise<void> {
  const paths = statePaths(options.state)
  await prepareFolder(paths)
  await using lock = await takeLock(paths)
  if (lock === undefined)
    throw new RecoveryError('BUSY', {
      message: `An agent runs for ${paths.folder} already.`,
      hint: `Ask it: reprise recovery host --state ${paths.folder}; end it: reprise recovery stop --state ${paths.folder}`,
    })
  const ended = Promise.withResolvers<void>()
  const agent = await startAgent(options)
  // It may come before anybody waits for the end.
  ended.promise.catch(() => undefined)
  const watch = setInterval(() => {
    clockNow(agent.ground.pinned).catch((cause: unknown) => {
      if (cause instanceof TpmError && (cause.code === 'TRANSPORT' || cause.code === 'TIMEOUT'))
        ended.reject(tpmGone(cause))
    })
  }, TPM_WATCH_MS)
  try {
    await using _control = await serveControl(paths.socket, answering(agent, ended.resolve))
    options.onStarted?.(agent)
    options.signal.addEventListener('abort', () => ended.resolve())
    if (!options.signal.aborted) await ended.promise
    options.report('ending')
  } catch (error) {
    await agent.abandon()
    throw error
  } finally {
    clearInterval(watch)
  }
  await agent.stop()
}

/** Whoever supervises the agent starts it anew; it then takes what the TPM says as it would after a boot. */
function tpmGone(cause: TpmError): RecoveryError {
  return new RecoveryError('TPM', {
    message: `The TPM of this host is gone: ${cause.message}`,
    hint: 'See: dmesg | grep -i tpm; of a software TPM, its log. A TPM that lost its power is the one of a new boot: switch the host off and on.',
    cause,
  })
}

/**
 * Makes the identity of a host, and its offer; where an agent runs, it is asked.
 *
 * @throws {@link RecoveryError} `STATE` when the folder is another host's.
 */
export async function makeHostOffer(of: {
  readonly state: string
  readonly fleet: string
  readonly host: HostId
  readonly tpm: TpmPlace
  readonly registers: readonly number[]
}): Promise<Uint8Array> {
  const { fleet, host, registers } = of
  const paths = statePaths(of.state)
  await prepareFolder(paths)
  await using lock = await takeLock(paths)
  if (lock === undefined) {
    const done = await askAgent(of.state, { ask: 'offer', fleet, registers })
    return Buffer.from(String(done['offer']))
  }
  const hostFile = await makeIdentity(paths, { host, tpm: of.tpm })
  const own = await openTpm(hostFile.tpm)
  try {
    const pinned = { tpm: own.tpm, storageKey: hostFile.storageKey, persist: own.persist }
    const ak = await openAk(own.tpm, paths, hostFile)
    return await offer({ host, pinned, hostTpm: hostTpm(own.tpm, { host, ak }) }, { fleet, registers })
  } finally {
    await own.release()
  }
}

/**
 * Takes a plan for a host: by its agent, or into the folder where none runs.
 *
 * @param pin - Digest of the only plan that is taken.
 */
export async function bringPlan(state: string, path: string, signed: Uint8Array, pin?: Uint8Array): Promise<void> {
  const paths = statePaths(state)
  await prepareFolder(paths)
  const { host } = await readNeeded(
    paths.host,
    HOST_FILE,
    'Make the host first: reprise recovery provision --offer FILE',
  )
  {
    await using lock = await takeLock(paths)
    if (lock !== undefined) return await installPlan(paths, host, signed, pin)
  }
  await askAgent(state, { ask: 'plan', path })
}
