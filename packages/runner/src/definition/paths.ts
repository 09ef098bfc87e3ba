/** Paths as computations carry them: relative, UTF-8, `/` between names (spec/computation.md §2). */
import { compareText, utf8 } from '@reprise/core'

export const GUEST_PATH_BYTES_MAX = 4096

/** What keeps `path` from being a guest path, to follow the path in a sentence; null when nothing does. */
export function guestPathProblem(path: string): string | null {
  if (path === '') return 'is empty'
  if (path.startsWith('/')) return 'is absolute'
  if (path.includes('\0')) return 'holds a NUL'
  if (!path.isWellFormed()) return 'is not well-formed Unicode'
  if (utf8(path).length > GUEST_PATH_BYTES_MAX) return `is longer than ${GUEST_PATH_BYTES_MAX} bytes`
  for (const part of path.split('/')) {
    if (part === '') return 'has an empty part'
    if (part === '.' || part === '..') return `has a part ${part}`
  }
  return null
}

/** Sorts by the bytes of the paths, which is neither the locale's order nor that of UTF-16. */
export function sortedByPath<T>(items: readonly T[], pathOf: (item: T) => string): T[] {
  return items.toSorted((a, b) => compareText(pathOf(a), pathOf(b)))
}

export function isBelow(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`)
}

/** A word as a POSIX shell reads it back. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
