export {
  createJournal,
  journalPath,
  readJournal,
  type JournalEntry,
  type JournalWriter,
  type ReadJournal,
} from './journal.ts'
