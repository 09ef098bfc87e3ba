import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { blocksOf, exchangesOf, printsAsSaid, Reader } from './docs.ts'

const root = resolve(import.meta.dirname, '..')
const fenced = (info: string, text: string): string => `\n\`\`\`${info}\n${text}\n\`\`\`\n`

describe('documents', () => {
  test('there is a README', () => {
    expect(globSync('README.md', { cwd: root })).toHaveLength(1)
  })

  test.each(globSync(['*.md', 'docs/**/*.md', 'spec/**/*.md', 'packages/*/README.md'], { cwd: root }))(
    '%s closes its fences and gives reasons for what is not run',
    (path) => {
      expect(() => blocksOf(readFileSync(resolve(root, path), 'utf8'))).not.toThrow()
    },
  )
})

describe('blocksOf', () => {
  test('finds what is to be run, with its line', () => {
    const markdown =
      fenced('sh', 'a\nb') + fenced('json', '{}') + fenced('ts', 'c') + fenced('sh no-run reason="x"', 'd')
    expect(blocksOf(markdown)).toEqual([
      { language: 'sh', line: 2, text: 'a\nb' },
      { language: 'ts', line: 11, text: 'c' },
    ])
  })

  test('refuses an open fence and a block that is not run for no reason', () => {
    expect(() => blocksOf('```sh\nx')).toThrow('line 1: the fence is never closed')
    expect(() => blocksOf(fenced('sh no-run', 'x'))).toThrow('line 2: no-run wants a reason')
  })
})

test('exchangesOf tells commands from what they print', () => {
  expect(exchangesOf('$ a \\\n  b\nprinted\n  more\n$ c\n')).toEqual([
    { command: 'a \\\n  b', expected: 'printed\n  more' },
    { command: 'c', expected: '' },
  ])
})

test('printsAsSaid takes … for anything and nothing else', () => {
  expect(printsAsSaid('verified  4be190aa \n', 'verified  4be1…aa')).toBe(true)
  expect(printsAsSaid('a\nb\nc\nd', 'a\n…\nd')).toBe(true)
  expect(printsAsSaid('anything', '')).toBe(true)
  expect(printsAsSaid('verified!', 'verified')).toBe(false)
  expect(printsAsSaid('axb', 'a.b')).toBe(false)
})

describe('Reader', () => {
  const run = async (...blocks: string[]): Promise<void> => {
    using reader = new Reader(root)
    for (const block of blocks) for (const parsed of blocksOf(block)) await reader.run(parsed)
  }

  test('runs the blocks of one file in one folder, in order', async () => {
    await run(
      fenced('sh', 'echo 1 > n\ntest -x ./reprise\ncommand -v reprise'),
      fenced(
        'ts',
        "import { hex } from '@reprise/core'\nif (hex(new Uint8Array([1])) !== '01') throw new Error('hex')",
      ),
      fenced('sh', '$ x=2; cat n\n1\n$ echo $x; echo "$REPRISE_HOME" >&2\n2\n/…/home'),
    )
  })

  test('fails with the command, what it printed and what was said', async () => {
    await expect(run(fenced('sh', 'false\ntrue'))).rejects.toThrow('ends with 1')
    await expect(run(fenced('sh', '$ false\n$ true'))).rejects.toThrow('ends with 1')
    await expect(run(fenced('sh', '$ echo a; echo b\na\nc'))).rejects.toThrow(
      '$ echo a; echo b\nprints\na\nb\n\nand not\na\nc',
    )
    await expect(run(fenced('ts', 'throw new Error("no")'))).rejects.toThrow('ends with 1')
  })
})
