/** The channels of an agent: served, kept open, and closed. */

import {
  channelPool,
  type Answerer,
  drawIdentity,
  type HostTpm,
  type PlanView,
  serveChannels,
} from '../channel/index.ts'
import type { FleetView } from './fleet-view.ts'
import type { Report } from './ground.ts'
import type { Network } from './network.ts'

export interface Peers extends AsyncDisposable {
  readonly network: Network
  /** Where this host answers; undefined in mode `tpm-only`. */
  readonly address: string | undefined
}

export interface PeersOf {
  readonly hostTpm: HostTpm
  readonly fleet: () => FleetView
  /** `host:port`, or a port alone on the host of the plan; that of the plan unless given. */
  readonly listen: string | undefined
  readonly answer: Answerer
  readonly report: Report
}

/** For everything until a peer is attested; a chip may take seconds when many ask. */
const OPEN_MS = 15_000
/** A stranger can make many lines: so many are kept in a minute. */
const LINES_PER_MINUTE = 60

/** @throws RecoveryError `CHANNEL` when the address cannot be had. */
export async function openPeers({ hostTpm, fleet, listen, answer, report }: PeersOf): Promise<Peers> {
  const own = fleet().hostNamed(hostTpm.host)?.address ?? '127.0.0.1:0'
  const address = addressOf(listen, own)
  const identity = drawIdentity()
  const view = (): PlanView => fleet().seen
  if (fleet().plan.mode === 'tpm-only') {
    const reach: Network['reach'] = async () => ({ kind: 'unreachable', why: 'mode tpm-only has no network' })
    return {
      network: { reach, renew: () => undefined },
      address: undefined,
      [Symbol.asyncDispose]: async () => undefined,
    }
  }
  const server = await serveChannels({ tpm: hostTpm, view, address, answer, identity, log: sparingly(report) })
  // Several hosts on one machine have loopback addresses of their own: they are told apart by them.
  const from = address.host.startsWith('127.') ? { from: address.host } : {}
  const pool = channelPool({ tpm: hostTpm, view, timeoutMs: OPEN_MS, identity, ...from })
  return {
    network: { reach: (host) => pool.to(host), renew: () => pool.renew() },
    address: server.address,
    async [Symbol.asyncDispose]() {
      pool.close()
      await server.close()
    },
  }
}

function addressOf(listen: string | undefined, planned: string): { readonly host: string; readonly port: number } {
  const whole = listen === undefined ? planned : /^\d+$/.test(listen) ? `${split(planned).host}:${listen}` : listen
  return split(whole)
}

function split(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(':')
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) }
}

function sparingly(report: Report): (line: string) => void {
  let minute = 0
  let lines = 0
  return (line) => {
    const now = Math.floor(Date.now() / 60_000)
    if (now !== minute) [minute, lines] = [now, 0]
    lines += 1
    if (lines <= LINES_PER_MINUTE) report('channel', { line: line.slice(0, 300) })
  }
}
