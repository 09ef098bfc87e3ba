/** The board of a host, served by its agent. */
import { fromHex } from '@reprise/core'
import type { Agent } from '../agent/index.ts'
import { hostStatus } from '../agent/host-report.ts'
import { collectSightings } from './collect.ts'
import { type BoardServer, serveBoard } from './server.ts'

/** @param listen - `host:port`. @throws RecoveryError `BOARD` when it cannot listen there. */
export async function serveAgentBoard(agent: Agent, listen: string): Promise<BoardServer> {
  return await serveBoard({
    listen,
    clock: () => performance.now(),
    collect: () => {
      const report = agent.stand()
      const { network, times, nowMs } = agent.ground
      return collectSightings({
        ...{ plan: agent.ground.fleet().plan, network, withinMs: times.observeMs, wallMs: nowMs },
        own: hostStatus(report, fromHex(report.audit.head)),
      })
    },
  })
}
