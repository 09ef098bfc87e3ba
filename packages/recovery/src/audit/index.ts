/** The audit log of a host: written by its agent, countersigned by its witnesses. Truth: spec/operators.md §6. */
export {
  type AuditClock,
  type AuditEntry,
  type AuditEvent,
  type AuditKind,
  type AuditPlace,
  type AuditScope,
  auditStart,
  type Countersign,
  type LoggedShare,
  type SignedQuote,
} from './entry.ts'
export { type AuditLog, openAuditLog } from './log.ts'
export { type StoryLine, storyOf } from './story.ts'
export {
  type Audit,
  type AuditedLog,
  type AuditFinding,
  auditLogs,
  type AuditNoteCode,
  type AuditProblemCode,
  type LogInput,
} from './verify.ts'
