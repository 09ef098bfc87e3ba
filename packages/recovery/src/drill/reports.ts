/** How hosts of a laboratory stand, as their agents and boards say. */
import { askAgent } from '../agent/control/client.ts'
import type { HostReport } from '../agent/index.ts'
import { boardView, type BoardView, parseSightings } from '../board/index.ts'
import { RecoveryError } from '../error.ts'
import type { HostId } from '../types.ts'
import type { Lab } from './lab.ts'

/** A dozen agents that begin at once on two busy cores take their time. */
const ASK_MS = 60_000

export async function reportOf(lab: Lab, id: HostId): Promise<HostReport> {
  const asked = askAgent(lab.host(id).state, { ask: 'status' }, { signal: AbortSignal.timeout(ASK_MS) })
  const { report } = await inTime(id, asked)
  if (report === undefined) throw new RecoveryError('LABORATORY', { message: `${id} reports nothing` })
  return report as HostReport
}

/** The fleet as that host sees it. */
export async function fleetView(lab: Lab, by: HostId): Promise<BoardView> {
  const url = `http://${lab.network.boardOf(by)}/sightings.json`
  const asked = fetch(url, { signal: AbortSignal.timeout(ASK_MS) }).then((answer) => answer.text())
  return boardView(parseSightings(await inTime(by, asked)))
}

async function inTime<T>(id: HostId, asked: Promise<T>): Promise<T> {
  try {
    return await asked
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'TimeoutError')) throw error
    throw new RecoveryError('LABORATORY', {
      message: `the agent of ${id} does not answer within ${ASK_MS / 1000} s`,
      hint: 'this machine is too busy for so many hosts: try again, or with fewer (--hosts)',
      cause: error,
    })
  }
}

/** Whether its newest heartbeat came after that and counts: one that fewer than K witnesses signed counts nowhere. */
export function isHealthy({ lastHeartbeatWallMs, heartbeatWitnesses, shares }: HostReport, sinceWallMs = 0): boolean {
  return (lastHeartbeatWallMs ?? 0) > sinceWallMs && heartbeatWitnesses >= shares.needed
}
