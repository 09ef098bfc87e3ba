import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EVENT_LOG_BYTES_MAX } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findLog, logPlaces } from './logs.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reprise-logs-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('logPlaces', () => {
  test('are those of the kernel only where the TPM is that of the machine', () => {
    expect(logPlaces('swtpm', {})).toEqual({ boot: null, ima: null })
    expect(logPlaces('device', {})).toMatchObject({ boot: { source: 'host' }, ima: { source: 'host' } })
  })

  test('are those that the user names', () => {
    const places = logPlaces('swtpm', { REPRISE_EVENT_LOG: '/a', REPRISE_IMA_LIST: '' })
    expect(places).toEqual({ boot: { path: '/a', source: 'user' }, ima: null })
  })
})

describe('findLog', () => {
  const at = (name: string, source: 'host' | 'user') => ({ boot: { path: join(folder, name), source }, ima: null })

  test('gives the bytes and where they are from', async () => {
    await writeFile(join(folder, 'log'), 'abc')
    expect(await findLog('boot', at('log', 'user'))).toMatchObject({ kind: 'boot', source: 'user' })
    expect(await findLog('ima', at('log', 'user'))).toBeUndefined()
  })

  test('finds none where the kernel keeps none', async () => {
    expect(await findLog('boot', at('missing', 'host'))).toBeUndefined()
  })

  test.each([
    ['is missing where the user named it', 'missing', 'unreadable'],
    ['is a folder', '.', 'unreadable'],
  ])('leaves out what %s', async (_what, name, leftOut) => {
    expect(await findLog('boot', at(name, 'user'))).toMatchObject({ kind: 'boot', leftOut })
  })

  test('leaves out what is too large', async () => {
    await writeFile(join(folder, 'large'), new Uint8Array(EVENT_LOG_BYTES_MAX + 1))
    expect(await findLog('boot', at('large', 'host'))).toMatchObject({ leftOut: 'too-large' })
  })
})
