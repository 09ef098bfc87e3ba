export { createJournal, journalPath, readJournal, type JournalEntry, type JournalWriter } from './journal.ts'
