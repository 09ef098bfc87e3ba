/** Reading values of unknown shape, with every mistake noted and none thrown: a plan has all its problems at once. */

export type ProblemCode =
  | 'SYNTAX' // not YAML, or more than one document
  | 'FIELD' // missing, unknown, or of the wrong form
  | 'LIMIT' // more than this version takes
  | 'HOST_DUPLICATE'
  | 'ADDRESS_DUPLICATE'
  | 'AK_DUPLICATE'
  | 'DOMAIN' // a rack or PDU in two rooms, a room in two zones
  | 'SERVICE_DUPLICATE'
  | 'SERVICE_UNKNOWN'
  | 'SERVICE_CYCLE'
  | 'CREDENTIAL_DUPLICATE'
  | 'THRESHOLD' // K and N that do not fit each other
  | 'WITNESSES' // too few hosts to be witnesses
  | 'CAPS' // the caps on rooms and PDUs leave too few witnesses
  | 'LEASE' // shorter than the outage that it must outlast
  | 'BREAK_GLASS' // keys that are too few or stand there twice
  | 'BOOT' // a boot of no registers or of some that prove nothing, of a host that is not there, or too many

export interface Problem {
  readonly code: ProblemCode
  /** Where it is, such as `hosts[3].rack`. */
  readonly path: readonly (string | number)[]
  readonly what: string
  readonly hint: string
}

export type Path = readonly (string | number)[]

/** Takes what is wrong; reading goes on with a stand-in, for other problems may follow. */
export interface Fields {
  readonly problems: Problem[]
}

export function note(fields: Fields, code: ProblemCode, path: Path, what: string, hint: string): void {
  fields.problems.push({ code, path, what, hint })
}

export function pathText(path: Path): string {
  return path.reduce<string>(
    (text, step) => text + (typeof step === 'number' ? `[${step}]` : text === '' ? step : `.${step}`),
    '',
  )
}

/** A mapping with no other members than `known`; an empty one where it is none. */
export function mapping(
  fields: Fields,
  value: unknown,
  path: Path,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    note(fields, 'FIELD', path, `${named(path)} is no mapping`, `it has the members ${known.join(', ')}`)
    return {}
  }
  const members = value as Readonly<Record<string, unknown>>
  for (const name of Object.keys(members))
    if (!known.includes(name))
      note(
        fields,
        'FIELD',
        [...path, name],
        `${named(path)} has no member ${name}`,
        `its members are ${known.join(', ')}`,
      )
  return members
}

export function sequence(fields: Fields, value: unknown, path: Path, lengthMax: number): readonly unknown[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) {
    note(fields, 'FIELD', path, `${named(path)} is no sequence`, 'write one item a line, each after a dash')
    return []
  }
  if (value.length > lengthMax) {
    note(
      fields,
      'LIMIT',
      path,
      `${named(path)} has ${value.length} items; at most ${lengthMax} are taken`,
      'split the fleet',
    )
    return value.slice(0, 0)
  }
  return value
}

export interface TextForm {
  readonly form: RegExp
  /** The form in words. */
  readonly words: string
}

/** 1 to 63 characters that need no quoting anywhere. */
export const NAME: TextForm = {
  form: /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/,
  words: '1 to 63 of a-z, 0-9, dot, hyphen and underscore, with a letter or digit at both ends',
}

export function text(fields: Fields, value: unknown, path: Path, { form, words }: TextForm): string {
  // A name like 17 is a number to YAML.
  const found = typeof value === 'number' ? String(value) : value
  if (typeof found === 'string' && form.test(found)) return found
  const what = value === undefined ? `${named(path)} is missing` : `${named(path)} is ${shown(value)}`
  note(fields, 'FIELD', path, what, `write ${words}`)
  return ''
}

export function choice<T extends string>(
  fields: Fields,
  value: unknown,
  path: Path,
  options: { readonly of: readonly T[]; readonly otherwise: T },
): T {
  if (value === undefined) return options.otherwise
  if ((options.of as readonly unknown[]).includes(value)) return value as T
  note(fields, 'FIELD', path, `${named(path)} is ${shown(value)}`, `write ${options.of.join(' or ')}`)
  return options.otherwise
}

export interface NumberRange {
  readonly least: number
  readonly most: number
  /** Undefined: it must be there. */
  readonly otherwise: number | undefined
}

export function whole(fields: Fields, value: unknown, path: Path, { least, most, otherwise }: NumberRange): number {
  if (value === undefined && otherwise !== undefined) return otherwise
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value
  const what = value === undefined ? `${named(path)} is missing` : `${named(path)} is ${shown(value)}`
  note(fields, 'FIELD', path, what, `write a whole number from ${least} to ${most}`)
  return otherwise ?? least
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
export const DURATION_MS_MAX = 365 * 86_400_000
/** Of a wall clock: the last millisecond of the year 9999. */
export const WALL_MS_MAX = 253_402_300_799_999

/** `50ms`, `30s`, `10m`, `24h`, `2d`, as milliseconds. */
export function duration(fields: Fields, value: unknown, path: Path, otherwise: number | undefined): number {
  if (value === undefined && otherwise !== undefined) return otherwise
  const [, digits, unit] = typeof value === 'string' ? (/^(\d{1,9})(ms|s|m|h|d)$/.exec(value) ?? []) : []
  const valueMs = Number(digits) * UNITS_MS[unit]
  if (valueMs > 0 && valueMs <= DURATION_MS_MAX) return valueMs
  const what = value === undefined ? `${named(path)} is missing` : `${named(path)} is ${shown(value)}`
  note(fields, 'FIELD', path, what, 'write a number and ms, s, m, h or d, such as 24h; at most 365d')
  return otherwise ?? 1
}

/** `2%` or a number above 0 and below 1. */
export function odds(fields: Fields, value: unknown, path: Path, otherwise: number): number {
  if (value === undefined) return otherwise
  const [, percent] = typeof value === 'string' ? (/^(\d{1,2}(?:\.\d{1,6})?)%$/.exec(value) ?? []) : []
  const found = percent === undefined ? value : Number(percent) / 100
  if (typeof found === 'number' && found > 0 && found < 1) return found
  note(
    fields,
    'FIELD',
    path,
    `${named(path)} is ${shown(value)}`,
    'write a percentage above 0 and below 100, such as 2%',
  )
  return otherwise
}

function named(path: Path): string {
  return path.length === 0 ? 'the plan' : pathText(path)
}

function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 60 ? `${json.slice(0, 57)}…` : json
}
