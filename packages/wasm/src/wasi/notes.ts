/** What the guest asked for and did not get. For people only: no note changes how a run goes on. */

/** In the order in which they are saved. */
export const NOTE_CODES = [
  'NO_SOCKETS', // a socket call
  'NO_SUCH_CALL', // a call that this host does not know
  'READ_ONLY', // a change in a read-only mount, or of a read-only file
  'LIMIT', // one of the host's limits
] as const

export type NoteCode = (typeof NOTE_CODES)[number]

export interface Note {
  readonly code: NoteCode
  /** The call, the mount, the file or the limit. */
  readonly detail: string
  readonly count: number
}

export const NOTES_MAX = 256

export class Notes {
  readonly #counts = new Map<string, { code: NoteCode; detail: string; count: number }>()

  /** Beyond {@link NOTES_MAX} different ones only those that are already there are counted. */
  add(code: NoteCode, detail: string): void {
    const key = keyOf({ code, detail })
    const note = this.#counts.get(key)
    if (note !== undefined) note.count++
    else if (this.#counts.size < NOTES_MAX) this.#counts.set(key, { code, detail, count: 1 })
  }

  /** Puts these in the place of all others. */
  restore(notes: readonly Note[]): void {
    this.#counts.clear()
    for (const note of notes) this.#counts.set(keyOf(note), { ...note })
  }

  list(): readonly Note[] {
    return [...this.#counts.values()].map((note) => ({ ...note }))
  }
}

function keyOf({ code, detail }: Pick<Note, 'code' | 'detail'>): string {
  return `${code} ${detail}`
}
