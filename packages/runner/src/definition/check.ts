/** Checks a parsed YAML node against a schema, reporting every mistake where it stands. */
import { isAlias, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap } from 'yaml'
import { guestPathProblem } from './paths.ts'
import type { Format, ObjectSchema, Schema } from './schema.ts'
import { parseMemory, parseSeed, parseTime, Wrong, type Draws } from './settings.ts'

export interface Problem {
  /** Into the text, in UTF-16 code units. */
  readonly offset: number
  readonly what: string
  readonly hint?: string
}

/** Nodes as `yaml` hands them out; null is a value that was left out. */
type Value = Node | null | undefined

interface Place {
  readonly path: string
  /** Where to point when there is no node. */
  readonly offset: number
}

export function checkNode(value: Value, schema: Schema, place: Place): Problem[] {
  const offset = value?.range?.[0] ?? place.offset
  const at = { offset, path: place.path }
  if (isAlias(value)) return [{ hint: 'write the value out', offset, what: `${called(at)} is an alias` }]
  if ('anyOf' in schema) return checkAny(value, schema.anyOf, at)
  if (!matchesType(value, schema))
    return [
      { offset, what: `${called(at)} must be ${wanted(schema)}, not ${kindOf(value)}`, ...quotesHint(value, schema) },
    ]
  if ('type' in schema && schema.type === 'object') return checkObject(value as YAMLMap, schema, at)
  if ('type' in schema && schema.type === 'array') {
    const items = (value as unknown as { readonly items: readonly Value[] }).items
    if (items.length > schema.maxItems)
      return [{ offset, what: `${called(at)} has more than ${schema.maxItems} items` }]
    return items.flatMap((item, index) => checkNode(item, schema.items, { offset, path: `${place.path}[${index}]` }))
  }
  const problem = checkScalar((value as unknown as { readonly value: string | number }).value, schema)
  return problem ? [{ hint: problem.hint, offset, what: `${called(at)}: ${problem.what}` }] : []
}

/** Reports the alternative that was meant: the one of the same type, among objects the one that shares most names. */
function checkAny(value: Value, schemas: readonly Schema[], place: Place): Problem[] {
  const results = schemas.map((schema) => ({ problems: checkNode(value, schema, place), schema }))
  if (results.some(({ problems }) => problems.length === 0)) return []
  const sameType = results.filter(({ schema }) => matchesType(value, schema))
  if (sameType.length === 0) {
    return [
      {
        offset: place.offset,
        what: `${called(place)} must be ${schemas.map(wanted).join(' or ')}, not ${kindOf(value)}`,
      },
    ]
  }
  const closeness = ({ problems, schema }: (typeof results)[number]): number =>
    shared(value, schema) * 1000 - problems.length
  return sameType.reduce((best, next) => (closeness(next) > closeness(best) ? next : best)).problems
}

function checkObject(map: YAMLMap, schema: ObjectSchema, place: Place): Problem[] {
  const problems: Problem[] = []
  const known = Object.keys(schema.properties ?? {})
  const seen = new Set<string>()
  const start = place.offset
  for (const { key, value } of map.items as readonly Pair<Node | null, Value>[]) {
    const offset = key?.range?.[0] ?? start
    const name = isScalar(key) && typeof key.value === 'string' ? key.value : undefined
    if (name === undefined) {
      problems.push({ offset, what: `names in ${called(place)} must be text` })
      continue
    }
    seen.add(name)
    const inside: Place = { offset, path: place.path === '' ? name : `${place.path}.${name}` }
    const own = Object.hasOwn(schema.properties ?? {}, name) ? schema.properties?.[name] : undefined
    const wellNamed = schema.propertyNames === undefined || new RegExp(schema.propertyNames.pattern, 'u').test(name)
    if (own) problems.push(...checkNode(value, own, inside))
    else if (schema.additionalProperties === false)
      problems.push({
        hint: nearest(name, known),
        offset,
        what: `${called(place)} has no field ${JSON.stringify(name)}`,
      })
    else if (!wellNamed) problems.push({ offset, what: `${JSON.stringify(name)} cannot be a name in ${called(place)}` })
    else problems.push(...checkNode(value, schema.additionalProperties, inside))
  }
  for (const name of schema.required ?? []) {
    if (!seen.has(name))
      problems.push({ hint: `add ${name}: …`, offset: start, what: `${called(place)} lacks ${name}` })
  }
  return problems
}

const noDraws: Draws = { now: () => 0n, random: (lengthBytes) => new Uint8Array(lengthBytes) }

/** What is wrong with a text of a format, or null. */
export const formats: Readonly<Record<Format, (text: string) => Wrong | null>> = {
  'reprise-guest-path': (text) => {
    const problem = guestPathProblem(text)
    return problem ? new Wrong(`the path ${problem}`, 'write a relative path such as results/table.csv') : null
  },
  'reprise-memory': (text) => wrongOnly(parseMemory(text)),
  'reprise-seed': (text) => wrongOnly(parseSeed(text, noDraws)),
  'reprise-time': (text) => wrongOnly(parseTime(text, noDraws)),
}

const wrongOnly = (result: unknown): Wrong | null => (result instanceof Wrong ? result : null)

function checkScalar(value: string | number, schema: Schema): Wrong | null {
  if ('const' in schema)
    return value === schema.const ? null : new Wrong(`${JSON.stringify(value)} means nothing`, `write ${schema.const}`)
  if ('enum' in schema) {
    return schema.enum.includes(String(value))
      ? null
      : new Wrong(`${JSON.stringify(value)} means nothing`, `write ${schema.enum.join(' or ')}`)
  }
  if ('type' in schema && schema.type === 'string') {
    const text = String(value)
    const lengthOf = Array.from(text).length
    if (lengthOf < (schema.minLength ?? 0))
      return new Wrong('the text is empty', 'write something or leave the field out')
    if (lengthOf > (schema.maxLength ?? Infinity))
      return new Wrong(`the text is longer than ${schema.maxLength} characters`, 'shorten it')
    if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(text))
      return new Wrong('the text holds a NUL', 'remove it')
    return schema.format ? formats[schema.format](text) : null
  }
  if ('type' in schema && (schema.type === 'integer' || schema.type === 'number')) {
    const number = Number(value)
    const { minimum, maximum = Infinity } = schema
    if (number >= minimum && number <= maximum) return null
    return new Wrong(
      `${number} is out of range`,
      maximum >= Number.MAX_VALUE ? `write a number from ${minimum} on` : `write ${minimum} to ${maximum}`,
    )
  }
  return null
}

function matchesType(value: Value, schema: Schema): boolean {
  if ('anyOf' in schema) return schema.anyOf.some((one) => matchesType(value, one))
  if ('const' in schema) return isScalar(value) && typeof value.value === typeof schema.const
  if ('enum' in schema) return isScalar(value) && typeof value.value === 'string'
  switch (schema.type) {
    case 'object':
      return isMap(value)
    case 'array':
      return isSeq(value)
    case 'string':
      return isScalar(value) && typeof value.value === 'string'
    case 'integer':
      return isScalar(value) && Number.isInteger(value.value)
    case 'number':
      return isScalar(value) && Number.isFinite(value.value)
  }
}

function wanted(schema: Schema): string {
  if ('anyOf' in schema) return schema.anyOf.map(wanted).join(' or ')
  if ('const' in schema) return String(schema.const)
  if ('enum' in schema) return schema.enum.join(' or ')
  return { array: 'a list', integer: 'a whole number', number: 'a number', object: 'a mapping', string: 'text' }[
    schema.type
  ]
}

function kindOf(value: Value): string {
  if (isMap(value)) return 'a mapping'
  if (isSeq(value)) return 'a list'
  if (!isScalar(value) || value.value === null) return 'empty'
  if (typeof value.value === 'string') return 'text'
  return typeof value.value === 'number' ? String(value.value) : JSON.stringify(value.value)
}

function quotesHint(value: Value, schema: Schema): { readonly hint?: string } {
  const isText = 'type' in schema && schema.type === 'string'
  if (!isText || !isScalar(value) || value.value === null) return {}
  return { hint: `put it in quotes: "${value.source ?? ''}"` }
}

function shared(value: Value, schema: Schema): number {
  if (!isMap(value) || !('type' in schema) || schema.type !== 'object') return 0
  const names = Object.keys(schema.properties ?? {})
  const kinds =
    'kind' in (schema.properties ?? {}) &&
    checkNode(value.get('kind', true), schema.properties?.['kind'] as Schema, { offset: 0, path: '' }).length === 0
  return names.filter((name) => value.has(name)).length + (kinds ? 1 : 0)
}

/** What YAML calls a place, for the start of a sentence. */
function called({ path }: Place): string {
  return path === '' ? 'the computation' : path
}

function nearest(name: string, known: readonly string[]): string {
  const byDistance = known
    .map((other) => ({ distance: editDistance(name.toLowerCase(), other), other }))
    .sort((a, b) => a.distance - b.distance)
  const best = byDistance[0]
  return best && best.distance <= 2 ? `did you mean ${best.other}?` : `known are ${known.join(', ')}`
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]
}
