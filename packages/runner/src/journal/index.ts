export { lineOf, type Alarm, type JournalEntry, type JournalHost } from './entries.ts'
export { createJournal, journalPath, openJournal, type JournalWriter, type OpenedJournal } from './journal.ts'
export { hostNumber, readRun, resumePoint, type JournalRun, type ResumePoint } from './reading.ts'
export { Cursor } from './sections.ts'
