/**
 * The IMA list against PCR 10. The list is read after or before the quote and grows all the time, so the question is which first
 * part of it the quoted register covers. Format: spec/event-log.md §8.3.
 *
 * Source: Linux 6.1 `ima_queue.c`: before 5.8 every bank was extended with the SHA-1 digest and zeros, since then with a digest of its own.
 */

import { equal } from '../bytes/index.ts'
import { bankLengthBytes, startValue, type BankHash, type BankName } from './bank.ts'
import type { ImaEntry, ImaList } from './ima.ts'
import { extend } from './replay.ts'

export const IMA_PCR = 10

/** How a kernel makes the value that it extends a bank with. */
export type ImaRule = 'own-digest' | 'padded-sha1'

export interface ImaCoverage {
  readonly pcr: number
  readonly bank: BankName
  readonly rule: ImaRule
  /** Entries of the list that the quoted register covers, from the first on; those of other registers among them not counted. */
  readonly entries: number
  /** Entries of this register behind them, which nothing binds. */
  readonly beyond: number
}

interface Asked {
  readonly list: ImaList
  readonly bank: BankName
  readonly hash: BankHash
  /** 10 unless the policy says otherwise. */
  readonly pcr?: number
}

/** The value of the register after the whole list; undefined where an entry's data or the hash are missing. */
export function replayImaList(asked: Asked & { readonly rule?: ImaRule }): Uint8Array | undefined {
  const steps = walk(asked, asked.rule ?? 'own-digest', () => false)
  return steps?.value
}

/**
 * @returns The longest first part of the list whose replay is the quoted value; undefined when there is none. An empty part
 *   counts: a register that nothing was extended into covers no entry.
 */
export function coveredImaEntries(asked: Asked & { readonly quoted: Uint8Array }): ImaCoverage | undefined {
  const pcr = asked.pcr ?? IMA_PCR
  const rules: readonly ImaRule[] = asked.bank === 'sha1' ? ['own-digest'] : ['own-digest', 'padded-sha1']
  const total = asked.list.entries.filter((entry) => entry.pcr === pcr).length
  for (const rule of rules) {
    const walked = walk(asked, rule, (value) => equal(value, asked.quoted))
    if (walked?.found !== undefined)
      return { pcr, bank: asked.bank, rule, entries: walked.found, beyond: total - walked.found }
  }
  return undefined
}

/** Extends entry after entry. An entry without data ends the walk: what follows it cannot be replayed. */
function walk(
  asked: Asked,
  rule: ImaRule,
  isQuoted: (value: Uint8Array) => boolean,
): { readonly value: Uint8Array | undefined; readonly found: number | undefined } | undefined {
  const pcr = asked.pcr ?? IMA_PCR
  if (asked.hash(asked.bank, new Uint8Array()) === undefined) return undefined
  let value = startValue(asked.bank, pcr)
  let found = isQuoted(value) ? 0 : undefined
  let count = 0
  for (const entry of asked.list.entries) {
    if (entry.pcr !== pcr) continue
    const digest = extendedDigest(entry, rule, asked)
    if (digest === undefined) return { value: undefined, found }
    value = extend(asked, value, digest)
    count += 1
    if (isQuoted(value)) found = count
  }
  return { value, found }
}

/** A violation is zeros in the list and ones in the register, so that no list can leave it out. */
function extendedDigest(entry: ImaEntry, rule: ImaRule, { bank, hash }: Asked): Uint8Array | undefined {
  const lengthBytes = bankLengthBytes(bank)
  if (entry.violation) return new Uint8Array(lengthBytes).fill(0xff)
  if (bank === 'sha1') return entry.templateDigest
  if (rule === 'own-digest') return entry.templateData === undefined ? undefined : hash(bank, entry.templateData)
  const padded = new Uint8Array(lengthBytes)
  padded.set(entry.templateDigest)
  return padded
}

/**
 * Entries whose template digest is not the SHA-1 of their data. Under `own-digest` in a bank beside SHA-1 the register binds the
 * data themselves; under SHA-1 it binds the listed digest, and only an entry that is not named here has the data of that digest.
 */
export function inconsistentImaEntries(list: ImaList, hash: BankHash): readonly number[] {
  return list.entries.flatMap(({ index, violation, templateData, templateDigest }) => {
    if (violation || templateData === undefined) return []
    const digest = hash('sha1', templateData)
    return digest !== undefined && equal(digest, templateDigest) ? [] : [index]
  })
}
