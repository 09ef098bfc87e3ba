/** A signer that is asked for before it is known whether it is wanted. */
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openSigner } from './context.ts'

const { signal } = new AbortController()
const failure = new Error('the command cannot be')
let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'reprise-context-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

const opening = () => openSigner({ home, signal }, () => {}, Promise.reject(failure))

describe('a signer whose command fails before it wants one', () => {
  test('is not started', async () => {
    const signer = opening()
    await expect(signer.ready).rejects.toBe(failure)
    await signer[Symbol.asyncDispose]()
    expect(await readdir(join(home, 'tpm'))).toEqual([])
  })

  test('is not waited for when it runs and says nothing', async () => {
    mkdirSync(join(home, 'tpm'), { mode: 0o700 })
    const silent = createServer()
    silent.listen(join(home, 'signer.sock'))
    await once(silent, 'listening')
    const connected = once(silent, 'connection')
    const signer = opening()
    const [socket] = (await connected) as [{ readonly destroy: () => void }]
    await signer[Symbol.asyncDispose]()
    socket.destroy()
    silent.close()
    await expect(signer.ready).rejects.toBe(failure)
  })
})
