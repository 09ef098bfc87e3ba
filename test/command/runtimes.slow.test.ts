/** Every runtime that the command line knows, from a script to a repetition. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { json, Room, type RunAnswer } from './room.ts'

const PROGRAMS: readonly {
  words: string[]
  files: Record<string, string>
  stdout: string
  output: [string, string]
}[] = [
  {
    words: ['python', 'a.py', 'x'],
    files: { 'a.py': 'import sys, random\nprint(sys.argv[1], len({}))\nopen("o.txt", "w").write(str(2 ** 70))\n' },
    stdout: 'x 0\n',
    output: ['o.txt', String(2n ** 70n)],
  },
  {
    words: ['ruby', 'a.rb', 'x'],
    files: { 'a.rb': 'puts ARGV[0].upcase\nFile.write("o.txt", (1..10).sum.to_s)\n' },
    stdout: 'X\n',
    output: ['o.txt', '55'],
  },
  {
    words: ['php', 'a.php', 'x'],
    files: { 'a.php': '<?php echo strtoupper($argv[1]), "\\n"; file_put_contents("o.txt", array_sum([1, 2]));' },
    stdout: 'X\n',
    output: ['o.txt', '3'],
  },
  {
    words: ['qjs', 'a.js', 'x'],
    files: {
      'a.js': "import * as std from 'std'\nconst o = std.open('o.txt', 'w')\no.puts('é')\no.close()\nprint(6 * 7)\n",
    },
    stdout: '42\n',
    output: ['o.txt', 'é'],
  },
  {
    words: ['sqlite', ':memory:', 'select sum(v) from (select 1 v union select 2)', '.output o.txt', 'select 5;'],
    files: {},
    stdout: '3\n',
    output: ['o.txt', '5\n'],
  },
]

describe('reprise run', () => {
  let room: Room
  beforeAll(async () => {
    room = await Room.create()
  })
  afterAll(() => room[Symbol.asyncDispose]())

  test.each(PROGRAMS)(
    '$words.0 runs, verifies and repeats',
    async ({ words, files, stdout, output: [path, content] }) => {
      const folder = await room.newFolder(files)
      const ran = await room.reprise(['run', ...words], { cwd: folder })
      expect(ran).toMatchObject({ code: 0, stdout })
      expect(await readFile(join(folder, path), 'utf8')).toBe(content)
      const [record] = words[0] === 'sqlite' ? ['sqlite.reprise'] : ['a.reprise']
      const shown = await room.reprise(['show', '--json', record], { cwd: folder })
      const { cumulative } = json<RunAnswer>(shown)
      expect(await room.reprise(['verify', record], { cwd: folder })).toMatchObject({ code: 0 })
      // A folder in which the record alone stands: everything else comes from the store.
      const repeated = await room.reprise(['repeat', '--json', join(folder, record)], { cwd: await room.newFolder() })
      expect(repeated).toMatchObject({ code: 0 })
      expect(json(repeated)).toMatchObject({ repetition: 'reproduced', cumulative, checkpointsEqual: true })
    },
  )
})
