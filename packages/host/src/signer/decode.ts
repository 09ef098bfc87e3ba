/** Exact decoders for small JSON: every field is named, nothing else may be there. */

import { fromHex, hex, isHex } from '@reprise/core'
import { HostError } from '../error.ts'

export type Decode<T> = (value: unknown, path: string) => T

export function refused(path: string, expected: string): HostError {
  return new HostError('PROTOCOL', { message: `${path} must be ${expected}`, data: { path } })
}

/** An object with exactly these fields, in any order; those that are {@link optional} may be absent. */
export function object<T extends object>(shape: { readonly [Field in keyof T]-?: Decode<T[Field]> }): Decode<T> {
  const names = Object.keys(shape) as (keyof T & string)[]
  return (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refused(path, 'an object')
    for (const name of Object.keys(value)) if (!Object.hasOwn(shape, name)) throw refused(`${path}.${name}`, 'absent')
    const members = value as Readonly<Record<string, unknown>>
    const decoded = names.map((name) => [name, shape[name](members[name], `${path}.${name}`)] as const)
    return Object.fromEntries(decoded.filter(([, member]) => member !== undefined)) as T
  }
}

export function optional<T>(decode: Decode<T>): Decode<T | undefined> {
  return (value, path) => (value === undefined ? undefined : decode(value, path))
}

export function text(lengthMax: number): Decode<string> {
  return (value, path) => {
    if (typeof value === 'string' && value.length <= lengthMax && value.isWellFormed()) return value
    throw refused(path, `text of at most ${lengthMax} characters`)
  }
}

export function oneOf<const T extends string | number>(...values: readonly T[]): Decode<T> {
  return (value, path) => {
    const found = values.find((allowed) => allowed === value)
    if (found === undefined) throw refused(path, values.join(' or '))
    return found
  }
}

export function integer(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): Decode<number> {
  return (value, path) => {
    if (Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum)
      return value as number
    throw refused(path, `an integer from ${minimum} to ${maximum}`)
  }
}

export const boolean: Decode<boolean> = (value, path) => {
  if (typeof value === 'boolean') return value
  throw refused(path, 'true or false')
}

/** Lower-case hex. */
export function bytes(lengthMin: number, lengthMax: number = lengthMin): Decode<Uint8Array> {
  return (value, path) => {
    const fits =
      typeof value === 'string' && value.length >= 2 * lengthMin && value.length <= 2 * lengthMax && isHex(value)
    if (fits) return fromHex(value)
    throw refused(path, `lower-case hex of ${lengthMin} to ${lengthMax} bytes`)
  }
}

/** Hex that stays text. */
export function hexText(lengthMin: number, lengthMax: number = lengthMin): Decode<string> {
  const decode = bytes(lengthMin, lengthMax)
  return (value, path) => {
    decode(value, path)
    return value as string
  }
}

export function nullable<T>(decode: Decode<T>): Decode<T | null> {
  return (value, path) => (value === null ? null : decode(value, path))
}

export function list<T>(item: Decode<T>, lengthMax: number): Decode<T[]> {
  return (value, path) => {
    if (!Array.isArray(value) || value.length > lengthMax) throw refused(path, `a list of at most ${lengthMax}`)
    return value.map((entry, index) => item(entry, `${path}[${index}]`))
  }
}

/** Any names that `name` matches, all with values of one kind. */
export function dictionary<T>(name: RegExp, item: Decode<T>): Decode<Record<string, T>> {
  return (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refused(path, 'an object')
    const entries = Object.entries(value).map(([key, entry]): [string, T] => {
      if (!name.test(key)) throw refused(`${path}.${key}`, 'absent')
      return [key, item(entry, `${path}.${key}`)]
    })
    return Object.fromEntries(entries)
  }
}

/** Decimal digits without leading zeros. */
export const decimal: Decode<string> = (value, path) => {
  if (typeof value === 'string' && /^(0|[1-9]\d{0,19})$/.test(value)) return value
  throw refused(path, 'a decimal integer as text')
}

/** The number that such digits say. */
export const bigDecimal: Decode<bigint> = (value, path) => BigInt(decimal(value, path))

/** The JSON of what these decoders read: bytes as hex, large numbers as decimal text, the rest as it is. */
export function toJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(value)
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return value.map(toJson)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, toJson(member)]))
}
