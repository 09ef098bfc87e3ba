export {
  createJournal,
  journalPath,
  openJournal,
  readJournal,
  type JournalEntry,
  type JournalHost,
  type JournalWriter,
  type KeepSnapshots,
} from './journal.ts'
export { hostNumber, keptSnapshots, resumePoint, runOf, type JournalRun } from './reading.ts'
