/** A host of the fleet whose agent was replaced: it has the TPM and lies. */
import { connect, swtpm, type Tpm } from '@reprise/tpm'
import { statePaths, readNeeded } from '../../packages/recovery/src/agent/state/folder.ts'
import { HOST_FILE } from '../../packages/recovery/src/agent/state/host-file.ts'
import { openAk } from '../../packages/recovery/src/agent/tpm/identity.ts'
import { planView } from '../../packages/recovery/src/agent/fleet-view.ts'
import {
  type Answer,
  hostTpm,
  type HostTpm,
  type Message,
  openChannel,
  type RegisterQuote,
  serveChannels,
} from '../../packages/recovery/src/channel/index.ts'
import type { TestFleet } from './fleet.ts'

/** `wrong`: it attests itself and gives wrong shares and reports. `replay`: it shows quotes from before. */
export type Lie = 'wrong' | 'replay'

/** The host's agent must not run; its TPM gets power. */
export async function impersonate(world: TestFleet, id: string, lie: Lie): Promise<AsyncDisposable> {
  const { lab, fleet } = world
  const { tpm, own } = await openOwn(world, id)
  const [host, port] = lab.network.listenOf(id).split(':')
  const server = await serveChannels({
    tpm: lie === 'replay' ? replaying(own) : own,
    view: () => planView(fleet.signed),
    address: { host, port: Number(port) },
    answer: (_, message) => Promise.resolve(lieTo(message)),
  })
  return {
    async [Symbol.asyncDispose]() {
      await server.close()
      await tpm.close()
      await lab.powerCut([id])
    },
  }
}

/** Opens an attested channel as that host, whose agent must not run, and says these; for when its key fell into other hands. */
export async function sayAs(
  world: TestFleet,
  id: string,
  to: string,
  messages: (tpm: HostTpm) => Promise<readonly Message[]>,
): Promise<readonly Answer[]> {
  const { lab, fleet } = world
  const { tpm, own } = await openOwn(world, id)
  const [from] = lab.network.listenOf(id).split(':')
  const view = planView(fleet.signed)
  const opened = await openChannel({ tpm: own, view, to, timeoutMs: 30_000, from })
  try {
    if (opened.kind !== 'attested') throw new Error(opened.why)
    const answers: Answer[] = []
    for (const message of await messages(own)) answers.push(await opened.channel.say(message, 30_000))
    opened.channel.close()
    return answers
  } finally {
    await tpm.close()
  }
}

async function openOwn({ lab }: TestFleet, id: string): Promise<{ readonly tpm: Tpm; readonly own: HostTpm }> {
  if (!lab.isOn(id)) await lab.powerTpm(id)
  else await lab.killAgent(id)
  const paths = statePaths(lab.host(id).state)
  const file = await readNeeded(paths.host, HOST_FILE, '')
  const running = await swtpm.start(lab.host(id).tpm)
  const tpm = connect(await running.open())
  return { tpm, own: hostTpm(tpm, { host: id, ak: await openAk(tpm, paths, file) }) }
}

/** Its first quote, again and again: what somebody has who listened once. */
function replaying(own: HostTpm): HostTpm {
  let first: Promise<RegisterQuote> | undefined
  return {
    ...own,
    quote(statement, pcrs) {
      first ??= own.quote(new Uint8Array(32), pcrs)
      return statement.length === 32 ? first : own.quote(statement, pcrs)
    },
  }
}

function lieTo(message: Message): Answer {
  switch (message.kind) {
    case 'observe':
      return { kind: 'observed', report: { uptimeMs: 1, lastShutdown: 'abnormal' }, planVersion: 1 } as Answer
    case 'ask': {
      const { host, epoch, index } = message.request
      const bytes = new Uint8Array(33).fill(7)
      const share = { host, epoch, index, bytes, digest: new Uint8Array(32) }
      return { kind: 'share', share, release: { attest: new Uint8Array(1), signature: new Uint8Array(1) } }
    }
    default:
      return { kind: 'failed', code: 'NOT_NOW', text: 'no' }
  }
}
