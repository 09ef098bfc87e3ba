import { hash } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { engineFiles } from './measure-host.ts'

describe('what a host measures of its engine', () => {
  let build: string
  let cache: string
  beforeEach(() => {
    build = mkdtempSync(join(tmpdir(), 'reprise-build-'))
    cache = mkdtempSync(join(tmpdir(), 'reprise-cache-'))
    writeFileSync(join(build, 'b.js'), 'two')
    writeFileSync(join(build, 'a.js'), 'one')
    writeFileSync(join(build, 'package.json'), '{}')
  })
  afterEach(() => {
    rmSync(build, { recursive: true })
    rmSync(cache, { recursive: true })
  })
  const measured = async () => await engineFiles(cache, join(build, 'a.js'))
  const named = (files: Readonly<Record<string, string>>) =>
    Object.entries(files).map(([name, text]) => ({ name, sha256: hash('sha256', text) }))

  test('is all files of the build, by name, with their digests', async () => {
    expect(await measured()).toEqual({ form: 'bundle', files: named({ 'a.js': 'one', 'b.js': 'two' }) })
  })

  test('is taken from the cache, and seen anew when a file has changed, came, or went', async () => {
    const first = await measured()
    expect(readdirSync(cache)).toEqual(['bundle.sha256'])
    expect(await measured()).toEqual(first)
    writeFileSync(join(build, 'b.js'), 'TWO')
    utimesSync(join(build, 'b.js'), 1, 1)
    expect((await measured()).files).toEqual(named({ 'a.js': 'one', 'b.js': 'TWO' }))
    writeFileSync(join(build, 'c.js'), 'three')
    expect((await measured()).files).toEqual(named({ 'a.js': 'one', 'b.js': 'TWO', 'c.js': 'three' }))
    rmSync(join(build, 'b.js'))
    expect((await measured()).files).toEqual(named({ 'a.js': 'one', 'c.js': 'three' }))
  })

  test('is made again when the cache is damaged', async () => {
    const first = await measured()
    writeFileSync(join(cache, 'bundle.sha256'), 'no digests\n')
    expect(await measured()).toEqual(first)
  })
})
