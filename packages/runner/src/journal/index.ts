export {
  createJournal,
  journalPath,
  openJournal,
  readJournal,
  type JournalEntry,
  type JournalHost,
  type JournalWriter,
} from './journal.ts'
export { hostNumber, resumePoint, runOf } from './reading.ts'
