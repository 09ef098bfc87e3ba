import { readFileSync, statSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openLog } from './log.ts'

test('the log keeps its newest lines, in two files of bounded size', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reprise-log-'))
  const log = openLog(join(folder, 'log'))
  for (let i = 0; i < 500; i++) log(`${i} ${'x'.repeat(1000)}`)
  expect((await readdir(folder)).toSorted()).toEqual(['log', 'log.1'])
  for (const name of ['log', 'log.1']) expect(statSync(join(folder, name)).size).toBeLessThan(132 << 10)
  expect(readFileSync(join(folder, 'log'), 'utf8')).toContain(' 499 x')
  await rm(folder, { recursive: true })
})

test('a log that cannot be written does not stop anybody', () => {
  openLog('/nonexistent/folder/log')('line')
})
