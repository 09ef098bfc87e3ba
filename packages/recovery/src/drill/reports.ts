/** How hosts of a laboratory stand, as their agents and boards say. */
import { askAgent } from '../agent/control/client.ts'
import type { HostReport } from '../agent/index.ts'
import { boardView, type BoardView, parseSightings } from '../board/index.ts'
import { RecoveryError } from '../error.ts'
import type { HostId } from '../types.ts'
import type { Lab } from './lab.ts'

const ASK_MS = 10_000

export async function reportOf(lab: Lab, id: HostId): Promise<HostReport> {
  const { report } = await askAgent(lab.host(id).state, { ask: 'status' }, { signal: AbortSignal.timeout(ASK_MS) })
  if (report === undefined) throw new RecoveryError('LABORATORY', { message: `${id} reports nothing` })
  return report as HostReport
}

/** The fleet as that host sees it. */
export async function fleetView(lab: Lab, by: HostId): Promise<BoardView> {
  const answer = await fetch(`http://${lab.network.boardOf(by)}/sightings.json`, {
    signal: AbortSignal.timeout(ASK_MS),
  })
  return boardView(parseSightings(await answer.text()))
}

/** Whether its newest heartbeat came after that and counts: one that fewer than K witnesses signed counts nowhere. */
export function isHealthy({ lastHeartbeatWallMs, heartbeatWitnesses, shares }: HostReport, sinceWallMs = 0): boolean {
  return (lastHeartbeatWallMs ?? 0) > sinceWallMs && heartbeatWitnesses >= shares.needed
}
