export {
  assessHost,
  assessIma,
  bankHash,
  type BootLog,
  type BootState,
  demandedRegisters,
  FIRMWARE_PCRS,
  type HostLogs,
  type HostState,
  imaRegisters,
  type ImaState,
  type LogKind,
  type OwnState,
  type Quoted,
  quotedOf,
  readBootLog,
  readImaList,
  type ReadLog,
  readOwnLog,
  wantedRegisters,
} from './assess.ts'
export { allMet, evaluateHostRules, type HostRuleAnswer, type HostTier, type HostToEvaluate } from './evaluate.ts'
export { decodeHostRules, type HostRules } from './host-rules.ts'
export { type MeasurerAnswer, measurerOf, weaker } from './measurer.ts'
export { showHost, type ShownHost } from './show.ts'
export {
  decodeOwnLog,
  decodeOwnMeasurement,
  encodeOwnLog,
  engineDigest,
  type EngineFile,
  lastMeasured,
  newMeasurements,
  OWN_LOG_BYTES_MAX,
  OWN_LOG_ENTRIES_MAX,
  OWN_LOG_PCR,
  ownEntryDigest,
  type OwnLog,
  type OwnLogBegin,
  ownLogEntries,
  ownLogValues,
  type OwnMeasurement,
} from './own-log.ts'
