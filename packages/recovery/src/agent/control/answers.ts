/** What the agent does with what it is asked at its socket. Format: spec/agent.md §4. */

import { readFile, stat } from 'node:fs/promises'
import { RecoveryError } from '../../error.ts'
import { makeOffer, RELEASE_BYTES_MAX, SIGNED_PLAN_BYTES_MAX, STATEMENT_BYTES_MAX } from '../../operators/index.ts'
import { openCounter, readCounter } from '../../sealing/indexes.ts'
import { Secret } from '../../sealing/secret.ts'
import type { Agent } from '../agent.ts'
import { CREDENTIAL_BYTES_MAX } from '../own/credentials.ts'
import type { ContentKeys } from '../own/drawing.ts'
import { CONTENT_KEY_BYTES, type Contents, contentsOf } from '../own/provisioning.ts'
import type { SplitOptions } from '../own/splitting.ts'
import type { ControlRequest } from './requests.ts'
import type { Conversation } from './server.ts'

/** Reports of a watch, at most so often. */
const WATCH_MS = 100

/** @param stop - Begins the end of the agent. */
export function answering(agent: Agent, stop: () => void) {
  return async (request: ControlRequest, conversation: Conversation): Promise<object> => {
    const { say } = conversation
    const onMissing: SplitOptions['onMissing'] = (missing, step) => {
      const text =
        missing.length === 0 ? `all witnesses have ${step}` : `${missing.length} witnesses have not ${step} yet`
      say({ kind: 'progress', text, missing })
    }
    switch (request.ask) {
      case 'status':
        return { report: agent.stand() }
      case 'watch':
        return { report: await watch(agent, conversation, () => false) }
      case 'boot':
        return { report: await watch(agent, conversation, isSettled) }
      case 'provision':
        return { epoch: await provision(agent, request, onMissing) }
      case 'deliver':
        return { epoch: await deliverTo(agent, request, conversation) }
      case 'rotate':
        return { epoch: await agent.life.rotate(onMissing) }
      case 'plan':
        return { planVersion: await agent.takePlan(await readLimited(request.path, SIGNED_PLAN_BYTES_MAX)) }
      case 'statement':
        await agent.hear(await readLimited(request.path, STATEMENT_BYTES_MAX))
        return {}
      case 'offer':
        return { offer: Buffer.from(await offer(agent.ground, request)).toString() }
      case 'release-request':
        return { request: Buffer.from(await agent.life.askOperators(request.expirationS)).toString() }
      case 'release': {
        const files = await Promise.all(request.statements.map((path) => readLimited(path, RELEASE_BYTES_MAX)))
        return { epoch: await agent.life.useOperators(files) }
      }
      case 'stop':
        setImmediate(stop)
        return {}
    }
  }
}

/** Nothing more is to be waited for: it is released, or only people help. */
function isSettled({ stand }: Agent): boolean {
  const { state, isReleased, isProvisioned } = stand()
  return !isProvisioned || state === 'refused' || state === 'broken' || (isReleased && state === 'serving')
}

async function watch(agent: Agent, { say, gone }: Conversation, isDone: (agent: Agent) => boolean): Promise<object> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let timer: NodeJS.Timeout | undefined
  const look = (): void => {
    timer = undefined
    if (gone.aborted || isDone(agent)) return resolve()
    say({ kind: 'report', report: agent.stand() })
  }
  const unwatch = agent.watch(() => (timer ??= setTimeout(look, WATCH_MS)))
  gone.addEventListener('abort', () => resolve())
  look()
  await promise
  unwatch()
  clearTimeout(timer)
  return agent.stand()
}

async function provision(agent: Agent, files: SecretFiles, onMissing: SplitOptions['onMissing']): Promise<number> {
  using contents = await readContents(files)
  return await agent.provision(contents, { onMissing })
}

async function deliverTo(
  agent: Agent,
  request: ControlRequest & { readonly ask: 'deliver' },
  { say, gone }: Conversation,
): Promise<number> {
  const { to, statement: path, timeoutMs, roundTripMs } = request
  const statement = await readLimited(path, STATEMENT_BYTES_MAX)
  using contents = await readContents(request)
  const sayText = (text: string): void => say({ kind: 'progress', text })
  return await agent.deliver({ to, statement, contents, timeoutMs, roundTripMs, signal: gone, say: sayText })
}

type SecretFiles = Pick<ControlRequest & { readonly ask: 'provision' }, 'credentials' | 'imageKeys'>

async function readContents({ credentials: named, imageKeys: versioned }: SecretFiles): Promise<Contents> {
  const credentials = new Map<string, Secret>()
  const imageKeys: ContentKeys[number][] = []
  try {
    for (const { name, path } of named)
      credentials.set(name, Secret.owning(await readLimited(path, CREDENTIAL_BYTES_MAX)))
    for (const { version, path } of versioned) imageKeys.push({ version, key: await readKey(path) })
    return contentsOf(credentials, imageKeys)
  } catch (error) {
    contentsOf(credentials, imageKeys)[Symbol.dispose]()
    throw error
  }
}

async function readKey(path: string): Promise<Secret> {
  const bytes = await readLimited(path, CONTENT_KEY_BYTES)
  const key = Secret.owning(bytes)
  if (bytes.length === CONTENT_KEY_BYTES) return key
  key[Symbol.dispose]()
  throw new RecoveryError('USAGE', {
    message: `${path} has ${bytes.length} bytes; a content key has ${CONTENT_KEY_BYTES}.`,
  })
}

/** @throws {@link RecoveryError} `USAGE` when it cannot be read, or has more. */
async function readLimited(path: string, bytesMax: number): Promise<Uint8Array> {
  try {
    const { size } = await stat(path)
    if (size > bytesMax) throw new RangeError(`it has ${size} bytes, and at most ${bytesMax} are read`)
    return new Uint8Array(await readFile(path))
  } catch (cause) {
    throw new RecoveryError('USAGE', { message: `${path} cannot be read: ${(cause as Error).message}`, cause })
  }
}

export async function offer(
  { pinned, hostTpm, host }: Pick<Agent['ground'], 'pinned' | 'hostTpm' | 'host'>,
  { fleet, registers }: { readonly fleet: string; readonly registers: readonly number[] },
): Promise<Uint8Array> {
  const approvals = await readCounter(pinned, await openCounter(pinned, 'approvals'))
  const { storageKey } = pinned
  const { akPublic } = hostTpm
  const pcrs = registers.toSorted((a, b) => a - b)
  return await makeOffer({ fleet, host, akPublic, storageKey, approvals }, (statement) =>
    hostTpm.quote(statement, pcrs),
  )
}
