/**
 * Parameters of a Linux command line. Format: spec/event-log.md §7.4.
 *
 * Source: Linux 6.1 `lib/cmdline.c` (next_arg: white space, quotes) and `kernel/params.c` (parameq: a dash in a name is an
 * underscore; everything after `--` goes to init).
 */

/**
 * @returns Undefined for a line that only its exact text can decide: with quotes or backslashes a word may be part of a value, and
 *   of other characters some bytes count as white space.
 */
export function fitsWords(
  { contains, lacks }: { readonly contains: readonly string[]; readonly lacks: readonly string[] },
  options: string,
): boolean | undefined {
  if (!/^[\t-\r\u0020-\u007e]*$/.test(options) || /["'\\]/.test(options)) return undefined
  const words = options.split(/[\t-\r ]+/).map(normalized)
  const end = words.indexOf('--')
  const parameters = end < 0 ? words : words.slice(0, end)
  const wanted = new Set(contains.map(normalized))
  const names = new Set([...wanted].map(nameOf))
  if (![...wanted].every((word) => parameters.includes(word))) return false
  // The last of several values may be the one that counts, so a wanted one beside another is not enough.
  if (words.some((word) => names.has(nameOf(word)) && !wanted.has(word))) return false
  return !lacks.map(normalized).some((word) => words.includes(word))
}

function nameOf(word: string): string {
  const at = word.indexOf('=')
  return at < 0 ? word : word.slice(0, at)
}

function normalized(word: string): string {
  if (word === '--') return word
  const name = nameOf(word)
  return `${name.replaceAll('-', '_')}${word.slice(name.length)}`
}
