import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { backup, isManufactured, STATE_FILE } from './folder.ts'
import { manufacture } from './manufacture.ts'
import { start } from './supervise.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reprise-swtpm-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('swtpm', () => {
  test('is asked for by its packages when it is missing', async () => {
    await expect(manufacture(join(folder, 'tpm'), { searchPath: folder })).rejects.toMatchObject({
      code: 'SWTPM_MISSING',
      hint: 'sudo apt-get install swtpm swtpm-tools',
    })
    expect(await isManufactured(join(folder, 'tpm'))).toBe(false)
  })

  test('is not started without a state: it would make a new TPM', async () => {
    await expect(start(folder)).rejects.toMatchObject({ code: 'STATE_MISSING' })
    await expect(backup(folder)).rejects.toMatchObject({ code: 'STATE_MISSING' })
  })

  test('does not replace a TPM that is there', async () => {
    writeFileSync(join(folder, STATE_FILE), 'state')
    await expect(manufacture(folder)).rejects.toMatchObject({ code: 'STATE_EXISTS' })
  })

  test('refuses a folder whose socket path would be cut', async () => {
    const deep = join(folder, 'd'.repeat(100))
    mkdirSync(deep)
    writeFileSync(join(deep, STATE_FILE), 'state')
    await expect(start(deep)).rejects.toMatchObject({ code: 'PATH_TOO_LONG' })
    await expect(manufacture(join(deep, 'tpm'))).rejects.toMatchObject({ code: 'PATH_TOO_LONG' })
  })
})
