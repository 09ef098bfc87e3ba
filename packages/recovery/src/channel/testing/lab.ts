/** For tests: two hosts with keys in software, a plan that has them, and the door of one of them. */

import type { Answerer, Opened } from '../channel.ts'
import { drawIdentity } from '../identity.ts'
import { openChannel, type OpenRequest } from '../open.ts'
import type { PlanView } from '../plan-view.ts'
import { type ChannelServer, serveChannels, type ServeRequest } from '../serve.ts'
import type { Hello, ProofFrame } from '../frames.ts'
import { batchOf, peerStatement } from '../statement.ts'
import type { RawPeer } from './raw-peer.ts'
import { softwareHost, type SoftwareHost, TEST_BOOT, viewOf } from './software-host.ts'

export const identities = { asking: drawIdentity(), witness: drawIdentity(), thief: drawIdentity() }

export interface Lab extends AsyncDisposable {
  readonly asking: SoftwareHost
  readonly witness: SoftwareHost
  readonly server: ChannelServer
  /** What the server had to say of its peers. */
  readonly log: string[]
  /** The plan as both see it now. */
  view: PlanView
  readonly open: (more?: Partial<OpenRequest>) => Promise<Opened>
}

export interface LabOptions extends Partial<Pick<ServeRequest, 'answer' | 'limits'>> {
  readonly asking?: SoftwareHost
  readonly witness?: SoftwareHost
  /** Changes the plan. */
  readonly plan?: (view: PlanView) => PlanView
}

const taken: Answerer = (_, message) =>
  Promise.resolve({ kind: 'taken', planVersion: message.kind === 'plan' ? message.signed.length : 0 })

export async function lab(options: LabOptions = {}): Promise<Lab> {
  const asking = options.asking ?? softwareHost('web-1')
  const witness = options.witness ?? softwareHost('witness-1')
  const other = softwareHost('web-2')
  for (const host of [asking, witness, other])
    for (const [pcr, value] of TEST_BOOT) if (!host.registers.has(pcr)) host.registers.set(pcr, value)
  const log: string[] = []
  const server = await serveChannels({
    ...{ tpm: witness, view: () => self.view, address: { host: '127.0.0.1', port: 0 }, identity: identities.witness },
    ...{ answer: options.answer ?? taken, log: (line) => void log.push(line) },
    ...(options.limits !== undefined && { limits: options.limits }),
  })
  const hosts = [asking, witness, other].map(({ host, ak }) => ({ host, ak, state: 'active' as const }))
  const plain = viewOf(hosts.map((host) => ({ ...host, address: server.address })))
  const self: Lab = {
    ...{ asking, witness, server, log, view: options.plan?.(plain) ?? plain },
    open: (more) =>
      openChannel({
        ...{ tpm: asking, view: self.view, to: 'witness-1', timeoutMs: 60_000, identity: identities.asking },
        ...(options.limits !== undefined && { limits: options.limits }),
        ...more,
      }),
    [Symbol.asyncDispose]: () => server.close(),
  }
  return self
}

/** The channel, or an error that says why there is none. */
export function opened(result: Opened): Extract<Opened, { kind: 'attested' }>['channel'] {
  if (result.kind === 'attested') return result.channel
  throw new Error(`${result.kind}: ${result.why}`)
}

/** Constant: whoever draws none harms himself. */
const nonce = new Uint8Array(32).fill(9)

/** What that host would say. */
export const helloOf = (host: Pick<SoftwareHost, 'host' | 'akPublic'>): Hello => ({
  ...{ kind: 'hello', host: host.host, akPublic: host.akPublic, nonce, planVersion: 1, registers: [4, 7, 14] },
})

/** An honest proof of the asking side, over a connection that was made by hand. */
export async function proofOf(host: SoftwareHost, peer: RawPeer, theirs: Hello): Promise<ProofFrame> {
  const statement = peerStatement('asking', {
    ...{ asking: host.host, witness: theirs.host, exporter: peer.exporter },
    ...{ tlsKeyAsking: identities.thief.keyDigest, tlsKeyWitness: peer.peerKeyDigest },
    ...{ nonceAsking: nonce, nonceWitness: theirs.nonce },
  })
  const { root, places } = batchOf([statement])
  const { attest, signature, registers } = await host.quote(root, theirs.registers)
  return { kind: 'proof', attest, signature, registers: [...registers.values()], ...places[0] }
}

/** The witness never signed for this one. */
export function unsigned(here: Lab): void {
  if (here.witness.quotes > 0) throw new Error(`the witness quoted ${here.witness.quotes} times`)
}
