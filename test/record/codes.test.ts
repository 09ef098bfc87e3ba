import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { FINDING_CODES } from '@reprise/core'
import { describe, expect, test } from 'vitest'

const folder = resolve(import.meta.dirname, '../../vectors/record')
const page = readFileSync(join(folder, 'README.md'), 'utf8')

const inCases = new Set(
  readdirSync(folder)
    .filter((name) => name !== 'README.md')
    .flatMap((name) => {
      const expected = JSON.parse(readFileSync(join(folder, name, 'expected.json'), 'utf8')) as { codes?: string[] }
      return expected.codes ?? []
    }),
)

describe('every code that a verifier can give', () => {
  test('has a case in vectors/record', () => {
    // The warning that nearly every case has is left out of all of them.
    expect(FINDING_CODES.filter((code) => !inCases.has(code) && code !== 'SELF_ENROLLED')).toEqual([])
  })

  test('is told of in the README of the cases', () => {
    const rows = page.split('\n').filter((line) => line.startsWith('| `'))
    const told = new Set(rows.flatMap((row) => row.split('|')[1].match(/[A-Z_]+/g) ?? []))
    expect(FINDING_CODES.filter((code) => !told.has(code))).toEqual([])
  })

  test('no case expects a code that no verifier gives', () => {
    expect([...inCases].filter((code) => !(FINDING_CODES as readonly string[]).includes(code))).toEqual([])
  })
})
