export {
  createJournal,
  journalPath,
  openJournal,
  readJournal,
  type JournalEntry,
  type JournalHost,
  type JournalWriter,
  type OpenedJournal,
  type ReadJournal,
} from './journal.ts'
export { hostNumber, resumePoint, runOf, type JournalRun, type ResumePoint } from './reading.ts'
