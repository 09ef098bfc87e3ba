import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { generationFile } from './generation-file.ts'

test('the file is the last content that was written whole, whatever a crash left beside it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'reprise-generations-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'generations.json')
  const file = generationFile(path)
  expect(await file.read()).toBeUndefined()
  await file.write(Uint8Array.of(1, 2, 3))
  expect(statSync(path).mode & 0o777).toBe(0o600)
  writeFileSync(`${path}.unfinished`, 'half of it')
  expect(await file.read()).toEqual(Uint8Array.of(1, 2, 3))
  await file.write(Uint8Array.of(4))
  expect(await file.read()).toEqual(Uint8Array.of(4))
  expect(existsSync(`${path}.unfinished`)).toBe(false)
  await expect(generationFile(join(folder, 'gone', 'generations.json')).write(Uint8Array.of(1))).rejects.toThrow(
    'ENOENT',
  )
})
