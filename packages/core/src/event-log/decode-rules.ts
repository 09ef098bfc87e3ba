/** Decodes rules, exactly. Format: spec/event-log.md §7.1. */

import { BANKS, bankLengthBytes, PCR_COUNT, type BankName } from './bank.ts'
import { fields, integer, kindOf, label, list, oneOf, text, wrong } from '../record/shape.ts'
import type { BankDigest, CommandLineCompare, EventLogRule } from './rules.ts'

export const RULES_MAX = 256
export const RULE_DIGESTS_MAX = 4096
export const RULE_WORDS_MAX = 256
/** COMMAND_LINE_SIZE of Linux on x86-64 is 2,048 bytes; other machines have more. */
export const COMMAND_LINE_BYTES_MAX = 16_384

/** Two rules of one of these kinds could only contradict or repeat each other. */
const KINDS = ['bootLoader', 'commandLine', 'files', 'kernel', 'pcr', 'secureBoot'] as const

/**
 * @param value - Parsed JSON; nobody else may change it afterwards.
 * @param path - Where the value stands, for errors.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong.
 */
export function decodeEventLogRules(value: unknown, path = '$'): readonly EventLogRule[] {
  const rules = list(value, path, RULES_MAX, decodeRule)
  const seen = new Set<string>()
  for (const [i, rule] of rules.entries()) {
    const key = rule.kind === 'pcr' ? `PCR ${rule.pcr} of bank ${rule.bank}` : rule.kind
    if (seen.has(key)) throw wrong(`${path}[${i}]`, `is a second rule for ${key}`)
    seen.add(key)
  }
  return rules
}

function decodeRule(value: unknown, path: string): EventLogRule {
  const kind = kindOf(value, path, KINDS)
  switch (kind) {
    case 'secureBoot': {
      const rule = fields(value, path, ['kind', 'state'])
      return { kind, state: oneOf(rule.state, `${path}.state`, ['off', 'on']) }
    }
    case 'commandLine': {
      const rule = fields(value, path, ['compare', 'kind'])
      return { kind, compare: decodeCompare(rule.compare, `${path}.compare`) }
    }
    case 'pcr':
      return decodePcr(value, path)
    default: {
      const rule = fields(value, path, ['digests', 'kind'])
      return { kind, digests: list(rule.digests, `${path}.digests`, RULE_DIGESTS_MAX, decodeDigest) }
    }
  }
}

function decodePcr(value: unknown, path: string): EventLogRule {
  const rule = fields(value, path, ['bank', 'kind', 'pcr', 'value'])
  const bank = oneOf(rule.bank, `${path}.bank`, BANK_NAMES)
  const pcr = integer(rule.pcr, `${path}.pcr`, { min: 0, max: PCR_COUNT - 1 })
  if (typeof rule.value !== 'string' || !isHexOf(rule.value, bank))
    throw wrong(`${path}.value`, `is not a value of bank ${bank} in lower-case hex`)
  return { kind: 'pcr', bank, pcr, value: rule.value }
}

const BANK_NAMES = BANKS.map(({ name }) => name)

function decodeDigest(value: unknown, path: string): BankDigest {
  if (typeof value === 'string') {
    const bank = BANK_NAMES.find((name) => value.startsWith(`${name}:`))
    if (bank !== undefined && isHexOf(value.slice(bank.length + 1), bank)) return value as BankDigest
  }
  throw wrong(path, 'is not a bank, a colon and a digest of it in lower-case hex, such as sha256:…')
}

function isHexOf(value: string, bank: BankName): boolean {
  return value.length === 2 * bankLengthBytes(bank) && /^[0-9a-f]*$/.test(value)
}

function decodeCompare(value: unknown, path: string): CommandLineCompare {
  const kind = kindOf(value, path, ['exact', 'words'])
  if (kind === 'exact') {
    const compare = fields(value, path, ['kind', 'text'])
    return { kind, text: text(compare.text, `${path}.text`, COMMAND_LINE_BYTES_MAX) }
  }
  const compare = fields(value, path, ['contains', 'kind', 'lacks'])
  const words = (each: unknown, at: string): readonly string[] => list(each, at, RULE_WORDS_MAX, decodeWord)
  const [contains, lacks] = [words(compare.contains, `${path}.contains`), words(compare.lacks, `${path}.lacks`)]
  if (contains.length + lacks.length === 0) throw wrong(path, 'names no word: every command line would fit')
  return { kind, contains, lacks }
}

function decodeWord(value: unknown, path: string): string {
  const word = label(value, path, COMMAND_LINE_BYTES_MAX)
  if (word.includes(' ')) throw wrong(path, 'has a space')
  return word
}
