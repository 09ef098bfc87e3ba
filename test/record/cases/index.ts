import type { RecordCase } from './case.ts'
import { containerCases } from './container.ts'
import { attestationCases, keyCases, runCases } from './evidence.ts'
import { heldCases } from './held.ts'

/** Every folder of `vectors/record/`. */
export const recordCases: readonly RecordCase[] = [
  ...heldCases,
  ...containerCases,
  ...keyCases,
  ...attestationCases,
  ...runCases,
]

export type { RecordCase }
