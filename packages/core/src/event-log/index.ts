export { type BankHash, type BankName, type BankValues } from './bank.ts'
export { type CommandLine, type Section } from './boot-text.ts'
export { canonicalEventLog, type CelRecord } from './cel.ts'
export { compareRegisters, type Comparison, type RegisterComparison, type RegisterState } from './compare.ts'
export { describeEvent, type DescribedEvent, type EventContent, type Proven, type VariableMeaning } from './content.ts'
export { type Coverage, type CoverageRule } from './coverage.ts'
export { decodeEventLogRules } from './decode-rules.ts'
export { EV, eventTypeName } from './event-type.ts'
export { type Fact } from './fact.ts'
export { type FactNote, type FactNoteCode } from './fact-notes.ts'
export { type BootFacts, factsOf, type Measured } from './facts.ts'
export { type ImaEntry, type ImaFile, type ImaList, parseImaList } from './ima.ts'
export {
  coveredImaEntries,
  type ImaCoverage,
  type ImaRule,
  inconsistentImaEntries,
  replayImaList,
} from './ima-replay.ts'
export { encodeEventLog, type EventLog, type LogBank, type LogDigest, type LogEvent, type SpecId } from './log.ts'
export { type LogNote, type LogNoteCode } from './note.ts'
export { EVENT_LOG_BYTES_MAX, parseEventLog } from './parse.ts'
export { type BankReplay, type Extension, type RegisterReplay, type Replay, replayEventLog } from './replay.ts'
export { type BankDigest, type CommandLineCompare, evaluateRules, type EventLogRule, type RuleAnswer } from './rules.ts'
