/** The audit logs of a laboratory, verified as `reprise recovery audit` does it. */
import { readFile } from 'node:fs/promises'
import { statePaths } from '../agent/state/folder.ts'
import { type Audit, auditLogs, type LogInput } from '../audit/index.ts'
import type { HostId, Plan } from '../types.ts'
import type { Lab } from './lab.ts'

/**
 * @param ids - All of them off: while agents write on, one log tells of more than another has.
 * @param plans - All that were in force.
 */
export async function auditLab(lab: Lab, ids: readonly HostId[], plans: readonly Plan[]): Promise<Audit> {
  const inputs = await Promise.all(
    ids.map(async (id): Promise<LogInput> => ({
      log: id,
      content: await readFile(statePaths(lab.host(id).state).audit),
    })),
  )
  return await auditLogs(inputs, plans)
}
