/**
 * The settings of a computation, and the one reading of each as text: a flag of the command line and a field of
 * computation.yaml mean the same when they look the same.
 *
 * The parsers answer with a value or with `Wrong`: what is wrong and what would be right; the caller knows where it stood.
 */
import type { CheckpointPolicy, Compare, Computation, Criterion, HostRules } from '@reprise/core'
import { guestPathProblem } from './paths.ts'

export interface InputSetting {
  /** On the host, absolute. */
  readonly path: string
  /** Below the guest's working folder; null: from the path. */
  readonly guest: string | null
}

/** What a user can decide. What is absent has the defaults of spec/computation.md. */
export interface Settings {
  readonly environment?: Readonly<Record<string, string>>
  /** `-` is the standard input of the process. */
  readonly stdin?: string
  /** Absent: the working folder with everything in it. */
  readonly inputs?: readonly InputSetting[]
  /** Nanoseconds since 1970, decimal. */
  readonly clock?: string
  readonly seed?: string
  readonly floats?: Computation['floats']
  readonly memoryPages?: number
  /** Where a runtime that can begin warm begins. */
  readonly start?: 'warm' | 'cold'
  readonly checkpoints?: CheckpointPolicy
  readonly success?: readonly Criterion[]
  /** What the host must be. */
  readonly host?: HostRules
}

/** Fuel between checkpoints: 0.4 to 0.7 s of a numeric kernel, 1 to 3.5 s of an interpreter, as measured. */
export const DEFAULT_GRID_FUEL = 2 ** 34
export const DEFAULT_CLOCK = '946684800000000000'
export const DEFAULT_MEMORY_PAGES = 32_768
const MEMORY_PAGES_MAX = 65_536
const PAGE_BYTES = 65_536

export class Wrong {
  readonly what: string
  readonly hint: string

  constructor(what: string, hint: string) {
    this.what = what
    this.hint = hint
  }
}

/** What is drawn once and then sealed. */
export interface Draws {
  /** Nanoseconds since 1970. */
  readonly now: () => bigint
  readonly random: (lengthBytes: number) => Uint8Array
}

const U64 = 1n << 64n

export function parseSeed(text: string, draws: Draws): string | Wrong {
  if (text === 'random') return new DataView(draws.random(8).slice().buffer).getBigUint64(0).toString()
  if (/^\d{1,20}$/.test(text) && BigInt(text) < U64) return BigInt(text).toString()
  return new Wrong(
    `the seed ${JSON.stringify(text)} is not a whole number below 2^64`,
    'write 0 to 18446744073709551615, or random',
  )
}

const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d))?$/

/** ISO 8601; a date alone is its midnight in UTC; a time without a zone would mean another moment elsewhere and is refused. */
export function parseTime(text: string, draws: Draws): string | Wrong {
  if (text === 'now') return draws.now().toString()
  const hint = 'write for example 2024-05-01T12:00:00Z, 2024-05-01T12:00:00.5+02:00 or now'
  const parts = TIME.exec(text)
  if (!parts) return new Wrong(`the time ${JSON.stringify(text)} is not ISO 8601 with a zone`, hint)
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone = 'Z'] = parts
  const local = `${year}-${month}-${day}T${hour}:${minute}:${second}`
  const milliseconds = Date.parse(`${local}Z`)
  const exists = !Number.isNaN(milliseconds) && new Date(milliseconds).toISOString().startsWith(local)
  if (!exists) return new Wrong(`there is no time ${JSON.stringify(text)}`, hint)
  const [zoneHours, zoneMinutes] = zone === 'Z' ? [0, 0] : [Number(zone.slice(1, 3)), Number(zone.slice(4, 6))]
  if (zoneHours > 23 || zoneMinutes > 59) return new Wrong(`there is no zone ${zone}`, hint)
  const offsetMinutes = (zone.startsWith('-') ? -1 : 1) * (zoneHours * 60 + zoneMinutes)
  const nanoseconds = BigInt(milliseconds - offsetMinutes * 60_000) * 1_000_000n + BigInt(fraction.padEnd(9, '0'))
  if (nanoseconds < 0n || nanoseconds >= U64)
    return new Wrong(`the time ${JSON.stringify(text)} is before 1970 or after 2554`, hint)
  return nanoseconds.toString()
}

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }

/** Pages of 64 KiB, rounded up. */
export function parseMemory(text: string): number | Wrong {
  const hint = 'write for example 512 MiB or 4 GiB'
  const parts = /^(\d{1,10}) ?([KMG])(?:iB)?$/.exec(text)
  if (!parts) return new Wrong(`the memory ${JSON.stringify(text)} is not a size in KiB, MiB or GiB`, hint)
  const pages = Math.ceil((Number(parts[1]) * UNITS[parts[2]]) / PAGE_BYTES)
  if (pages < 1 || pages > MEMORY_PAGES_MAX)
    return new Wrong(`the memory ${JSON.stringify(text)} is not between 64 KiB and 4 GiB`, hint)
  return pages
}

export function gridPolicy(fuel: number): CheckpointPolicy {
  return { fuel: fuel.toString(), kind: 'grid', strideBytes: 67_108_864, strideMax: 1024 }
}

/** `every=FUEL`, `outputs` or `none`. */
export function parseCheckpoints(text: string): CheckpointPolicy | Wrong {
  if (text === 'outputs' || text === 'none') return { kind: text }
  const fuel = Number(/^every=([1-9]\d{0,15})$/.exec(text)?.[1])
  if (Number.isSafeInteger(fuel)) return gridPolicy(fuel)
  return new Wrong(
    `the checkpoints ${JSON.stringify(text)} mean nothing`,
    `write every=FUEL (every=${DEFAULT_GRID_FUEL} is the default), outputs or none`,
  )
}

export function parseFloats(text: string): Computation['floats'] | Wrong {
  if (text === 'canonical' || text === 'host') return text
  return new Wrong(`the floats ${JSON.stringify(text)} mean nothing`, 'write canonical or host')
}

/** `OUTPUT=KIND[,abs=…,rel=…]`; `stdout` and `stderr` stand for the streams. */
export function parseCompare(text: string): Criterion | Wrong {
  const hint =
    'write for example results.csv=numbers,abs=1e-9,rel=1e-6 or stdout=text; kinds are bytes, text, numbers and json'
  const parts = /^(.+)=(bytes|text|numbers|json)((?:,(?:abs|rel)=[^,=]+)*)$/s.exec(text)
  if (!parts) return new Wrong(`the comparison ${JSON.stringify(text)} is not OUTPUT=KIND`, hint)
  const [, name, kind, rest] = parts
  const output = name === 'stdout' || name === 'stderr' ? `/dev/${name}` : name
  const problem = outputProblem(output)
  if (problem) return new Wrong(`the output ${JSON.stringify(name)} ${problem}`, hint)
  if (kind === 'bytes' || kind === 'text') {
    return rest === ''
      ? { compare: { kind }, output }
      : new Wrong(`${kind} knows no tolerance in ${JSON.stringify(text)}`, hint)
  }
  const tolerances: { abs?: number; rel?: number } = {}
  for (const [which, value] of rest
    .split(',')
    .slice(1)
    .map((part) => part.split('='))) {
    const tolerance = /^\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value) ? Number(value) : Infinity
    if (tolerance === Infinity)
      return new Wrong(`the tolerance ${JSON.stringify(value)} is not a number from 0 on`, hint)
    tolerances[which as 'abs' | 'rel'] = tolerance
  }
  return { compare: toleranceCompare(kind as 'numbers' | 'json', tolerances), output }
}

export function toleranceCompare(
  kind: 'numbers' | 'json',
  tolerances: { readonly abs?: number; readonly rel?: number },
): Compare {
  // Adding 0 turns -0, which canonical JSON does not know, into 0.
  return { abs: (tolerances.abs ?? 0) + 0, kind, rel: (tolerances.rel ?? 0) + 0 }
}

/** What is wrong with the name of an output (spec/measurement.md §3.4), or null. */
function outputProblem(output: string): string | null {
  return output === '/dev/stdout' || output === '/dev/stderr' ? null : guestPathProblem(output)
}

/** `NAME=VALUE`. */
export function parseEnvironment(text: string): readonly [name: string, value: string] | Wrong {
  const at = text.indexOf('=')
  if (at > 0 && !text.includes('\0')) return [text.slice(0, at), text.slice(at + 1)]
  return new Wrong(
    `the environment variable ${JSON.stringify(text)} has no value`,
    'write NAME=VALUE; nothing is taken over from your own environment',
  )
}
