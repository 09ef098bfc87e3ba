/** What came out of a run that has ended. */
import { hex, pagesRoot, type Exit, type MachineResults, type Outcome, type Stop } from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'

const { sha256 } = nodeCrypto

/** @param stop - The end of the guest; any other stop is a mistake of the caller. */
export function outcomeOf(stop: Stop | undefined, { outputs }: Pick<MachineResults, 'outputs'>): Outcome {
  return {
    exit: exitOf(stop),
    outputs: outputs.map(({ path, bytes }) => ({
      length: bytes.length,
      pages: hex(pagesRoot(bytes, sha256)),
      path,
      sha256: hex(sha256(bytes)),
    })),
  }
}

function exitOf(stop: Stop | undefined): Exit {
  if (stop?.kind === 'exited') return { code: stop.code }
  if (stop?.kind === 'trapped') return { trap: stop.reason }
  throw new Error('an outcome is of a guest that has ended')
}
