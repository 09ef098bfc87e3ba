/** Counts of runtimes/python/counted.c, as a profile that `llvm-profdata merge` reads. */
import { hash } from 'node:crypto'

/** LEB128 in hexadecimal: the number, and where it ends. */
function unsigned(bytes: Buffer, at: number): readonly [number, number] {
  let value = 0
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return [value, at]
  }
}

/** Adds the names of one unit to those by digest: lengths, then names with 1 between them, then zeros. */
function addNames(names: Map<string, string>, bytes: Buffer): void {
  let at = 0
  while (at < bytes.length) {
    const [length, afterLength] = unsigned(bytes, at)
    const [compressed, start] = unsigned(bytes, afterLength)
    if (compressed !== 0) throw new Error('the names of functions are compressed')
    for (const name of bytes.toString('utf8', start, start + length).split('\u0001'))
      names.set(hash('md5', name, 'buffer').readBigUInt64LE().toString(16).padStart(16, '0'), name)
    at = start + length
    while (bytes[at] === 0) at++
  }
}

/** How often a site had which value. */
type Site = Map<string, number>

interface Counted {
  readonly name: string
  readonly hash: string
  readonly counts: number[]
  /** Of its indirect calls, what they called, by digest of the name. */
  readonly calls: readonly Site[]
  /** Of its operations on memory, for how many bytes they were. */
  readonly copies: readonly Site[]
}

type All = Map<string, Counted>

const sitesOf = (count: string): Site[] => Array.from({ length: Number(count) }, () => new Map<string, number>())

/** `f NAME HASH CALLS COPIES COUNTS…`, added to what is known of that function. */
function addFunction(all: All, [name, digest, calls, copies, ...counts]: readonly string[]): Counted {
  const key = `${name} ${digest}`
  const found = all.get(key)
  const fresh = { name, hash: digest, counts: counts.map(() => 0), calls: sitesOf(calls), copies: sitesOf(copies) }
  const counted = found ?? fresh
  if (found === undefined) all.set(key, counted)
  for (const [i, value] of counts.entries()) counted.counts[i] += Number(value)
  return counted
}

/** `SITE VALUE COUNT [VALUE COUNT…]`, added to what is known of the function. */
function addSite(sites: readonly Site[], [index, ...pairs]: readonly string[]): void {
  const site = sites[Number(index)]
  for (let i = 0; i < pairs.length; i += 2) site.set(pairs[i], (site.get(pairs[i]) ?? 0) + Number(pairs[i + 1]))
}

/** What LLVM's text says instead of the name of a function that was not counted. */
const ANOTHER = '** External Symbol **'

/** A function in LLVM's text, which knows the kinds of values by number. */
function written({ name, hash: digest, counts, calls, copies }: Counted, names: ReadonlyMap<string, string>): string {
  const nameOf = (target: string): string => names.get(target) ?? ANOTHER
  const kinds = [
    { kind: 0, sites: calls, label: nameOf },
    { kind: 1, sites: copies, label: (size: string) => size },
  ].filter(({ sites }) => sites.length > 0)
  const lines = [nameOf(name), digest, counts.length, ...counts]
  if (kinds.length > 0) lines.push(kinds.length)
  for (const { kind, sites, label } of kinds) {
    lines.push(kind, sites.length)
    for (const site of sites) {
      const values = [...site].map(([value, count]) => [label(value), count] as const)
      lines.push(
        site.size,
        ...values.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([value, count]) => `${value}:${count}`),
      )
    }
  }
  return `${lines.join('\n')}\n\n`
}

/**
 * Adds up runs of a module that counts.
 *
 * @param runs - What each wrote, as counted.c says.
 * @returns The text of a profile of the intermediate representation, which says nothing of which run did what.
 */
export function profileOf(runs: readonly string[]): string {
  const names = new Map<string, string>()
  const all: All = new Map()
  for (const run of runs) {
    let last: Counted | undefined
    for (const line of run.split('\n')) {
      const [kind, ...words] = line.split(' ')
      if (kind === 'n') addNames(names, Buffer.from(words[0], 'hex'))
      else if (kind === 'f') last = addFunction(all, words)
      else if (kind === 'c' && last !== undefined) addSite(last.calls, words)
      else if (kind === 'm' && last !== undefined) addSite(last.copies, words)
    }
  }
  const functions = [...all.values()].filter(({ name }) => names.has(name))
  return [':ir\n', ...functions.map((each) => written(each, names)).toSorted()].join('')
}
