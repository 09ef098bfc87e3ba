import type { RecordCase } from './case.ts'
import { containerCases } from './container.ts'
import { certificateCases } from './certificates.ts'
import { counterCases } from './counters.ts'
import { enrolledCases } from './enrolled.ts'
import { enrolledBoundsCases } from './enrolled-bounds.ts'
import { attestationCases, keyCases } from './evidence.ts'
import { heldCases } from './held.ts'
import { powerCases } from './power.ts'
import { hostChangeCases } from './host-changes.ts'
import { hostCases } from './hosts.ts'
import { readersRulesCases } from './readers-rules.ts'
import { resumedCases } from './resumed.ts'
import { runCases } from './runs.ts'
import { snapshotCases } from './snapshots.ts'
import { unreadableCases } from './unreadable.ts'
import { warmCases } from './warm.ts'

/** Every folder of `vectors/record/`. */
export const recordCases: readonly RecordCase[] = [
  ...heldCases,
  ...containerCases,
  ...keyCases,
  ...attestationCases,
  ...runCases,
  ...snapshotCases,
  ...resumedCases,
  ...powerCases,
  ...counterCases,
  ...warmCases,
  ...hostCases,
  ...hostChangeCases,
  ...readersRulesCases,
  ...enrolledCases,
  ...enrolledBoundsCases,
  ...certificateCases,
  ...unreadableCases,
]

export { READ_AT } from './case.ts'
export type { RecordCase }
