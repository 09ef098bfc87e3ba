/** Which approved boot this host is in, as its own TPM has it. */

import { judgeRegisters, registersOf } from '../../channel/plan-view.ts'
import { readBootState } from '../../sealing/boot-state.ts'
import type { Ground } from '../ground.ts'

/** @returns Its name in the plan; undefined: in none. */
export async function ownBoot({
  fleet,
  pinned,
  host,
}: Pick<Ground, 'fleet' | 'pinned' | 'host'>): Promise<string | undefined> {
  const { seen } = fleet()
  const registers = await readBootState(pinned.tpm, registersOf(seen))
  return judgeRegisters(seen, host, new Map(registers.map(({ pcr, value }) => [pcr, value]))).boot
}
