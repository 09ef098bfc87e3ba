import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { problemsOf, scoresOf, type Explained, type Report } from './mutation.ts'

const root = resolve(import.meta.dirname, '../..')
const AT = { column: 3, original: 'return z' }
const REPORT: Report = {
  files: {
    'a.ts': {
      source: 'if (x) y()\n  return z\n',
      mutants: [
        ...Array.from({ length: 9 }, () => ({ status: 'Killed' as const, ...AT, line: 1, replacement: '' })),
        { status: 'Survived', ...AT, line: 2, replacement: 'return null' },
        { status: 'Ignored', ...AT, line: 2, replacement: '' },
      ],
    },
  },
}
const survivor: Explained = {
  file: 'a.ts',
  line: 'return z',
  original: 'return z',
  replacement: 'return null',
  why: 'the caller takes both',
}

describe('the scores of mutation testing', () => {
  test('count what a test noticed, and name what none did', () => {
    expect(scoresOf(REPORT)).toEqual([{ file: 'a.ts', killed: 9, survived: [{ ...survivor, why: '' }] }])
  })

  test('hold above the score that is wanted', () => {
    expect(problemsOf(scoresOf(REPORT), [])).toEqual([])
    const half = scoresOf(REPORT).map((score) => ({ ...score, killed: 1 }))
    expect(problemsOf(half, [])).toEqual(['score 50.0, at least 85 is wanted'])
    expect(problemsOf(half, [survivor])).toEqual([])
  })

  test('an explanation wants a reason, and a survivor', () => {
    expect(problemsOf(scoresOf(REPORT), [{ ...survivor, why: ' ' }])).toEqual([expect.stringContaining('no reason')])
    const gone = { ...survivor, line: 'return w' }
    expect(problemsOf(scoresOf(REPORT), [gone])).toEqual([expect.stringContaining('does not survive any more')])
    expect(problemsOf(scoresOf(REPORT), [{ ...gone, file: 'b.ts' }])).toEqual([])
  })
})

test('every line that is explained stands in its file', () => {
  const list = JSON.parse(readFileSync(resolve(root, 'tools/mutation/survivors.json'), 'utf8')) as Explained[]
  for (const { file, line } of list) expect(readFileSync(resolve(root, file), 'utf8')).toContain(line)
})
