import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Computation } from '@reprise/core'
import { expect, onTestFinished, test } from 'vitest'
import { openBlobStore } from '../blobs/index.ts'
import { gatherBlobs, openPlace } from './index.ts'

test('what is named twice is fetched once: a program that lies in its own folder', async () => {
  const home = await mkdtemp(join(tmpdir(), 'reprise-gather-'))
  onTestFinished(() => rm(home, { force: true, recursive: true }))
  const content = new Uint8Array(100_000).fill(7)
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    void sleep(50).then(() => response.end(content))
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const elsewhere = await openBlobStore(join(home, 'elsewhere'))
  const program = await elsewhere.putBytes(content)
  const empty = await elsewhere.putBytes(new Uint8Array())
  const files = ['a.wasm', 'b.wasm'].map((path) => ({ ...program, path }))
  const computation = {
    program,
    arguments: ['a.wasm'],
    stdin: empty,
    mounts: [{ at: '/', source: { kind: 'files', files } }],
  } as unknown as Computation
  const store = await openBlobStore(join(home, 'here'))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const places = [await openPlace(url, join(home, 'downloads'))]
  await gatherBlobs({ original: undefined, store, folder: home, places }, computation)
  expect(await store.has(program.sha256)).toBe(true)
  expect(asked).toEqual([`/sha256/${program.sha256}`])
})
