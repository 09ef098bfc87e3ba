import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fetchFile, type Fetched, type FetchRequest } from './fetch.ts'

const CONTENT = Buffer.from(Array.from({ length: 10_000 }, (_, i) => i % 251))

describe('fetchFile', () => {
  let folder: string
  let path: string
  let server: Server | undefined
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reprise-fetch-'))
    path = join(folder, 'deep', 'file.part')
  })
  afterEach(async () => {
    server?.closeAllConnections()
    server?.close()
    await rm(folder, { recursive: true })
  })

  async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
    server = createServer(answer).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`
  }
  const get = (url: string, options: Partial<FetchRequest> = {}): Promise<Fetched> =>
    fetchFile({
      url,
      path,
      isResumed: true,
      lengthBytes: CONTENT.length,
      lengthBytesMax: CONTENT.length,
      signal: undefined,
      onBytes: undefined,
      backoffMs: 1,
      ...options,
    })
  /** A server that knows ranges and breaks off after so many bytes. */
  const breaking = (bytes: number) => (request: IncomingMessage, response: ServerResponse) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const range = { 'content-range': `bytes ${from}-${CONTENT.length - 1}/${CONTENT.length}` }
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': CONTENT.length - from, ...(from > 0 && range) })
    response.write(CONTENT.subarray(from, from + bytes), () => {
      if (from + bytes >= CONTENT.length) response.end()
      // What came with the end of the connection would be lost.
      else setTimeout(() => response.destroy(), 50)
    })
  }

  test('goes on where a broken answer ended, as long as something comes', async () => {
    let counted = 0
    const url = await serve(breaking(1500))
    expect(await get(url, { onBytes: (count) => void (counted += count) })).toMatchObject({ kind: 'fetched' })
    expect((await readFile(path)).equals(CONTENT)).toBe(true)
    expect(counted).toBe(CONTENT.length)
  })

  test('goes on where an earlier process ended, and says so', async () => {
    const url = await serve(breaking(1e6))
    await get(url)
    await writeFile(path, CONTENT.subarray(0, 4000))
    expect(await get(url)).toMatchObject({ kind: 'fetched', wasResumed: true })
    expect((await readFile(path)).equals(CONTENT)).toBe(true)
    await writeFile(path, 'something else')
    expect(await get(url, { isResumed: false })).toMatchObject({ kind: 'fetched', wasResumed: false })
    expect((await readFile(path)).equals(CONTENT)).toBe(true)
  })

  test('begins again when the server does not know ranges', async () => {
    const url = await serve((_request, response) => response.end(CONTENT))
    await get(url)
    await writeFile(path, CONTENT.subarray(0, 4000))
    expect(await get(url)).toMatchObject({ kind: 'fetched' })
    expect((await readFile(path)).equals(CONTENT)).toBe(true)
  })

  test('follows redirections, and not for ever', async () => {
    const url = await serve((request, response) => {
      const at = Number(/n=(\d+)/.exec(request.url ?? '')?.[1] ?? 0)
      if (at === 3) response.end(CONTENT)
      else response.writeHead(at % 2 === 0 ? 302 : 308, { location: `/y?n=${at + 1}` }).end('elsewhere')
    })
    expect(await get(url)).toMatchObject({ kind: 'fetched' })
    expect((await readFile(path)).equals(CONTENT)).toBe(true)
    await rm(path)
    expect(await get(`${url}?n=4`)).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining('302') as string,
    })
  })

  test('takes no byte more than there may be', async () => {
    const url = await serve((_request, response) => response.end(Buffer.alloc(1 << 20)))
    expect(await get(url, { lengthBytes: undefined, lengthBytesMax: 5000 })).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining('more than the 5000 bytes') as string,
    })
    expect((await stat(path)).size).toBeLessThanOrEqual(5000)
  })

  test('tells what is not there from what fails, and gives up in the end', async () => {
    let status = 404
    let asked = 0
    const url = await serve((_request, response) => {
      asked += 1
      response.writeHead(status).end()
    })
    expect(await get(url)).toEqual({ kind: 'absent' })
    status = 403
    expect(await get(url)).toMatchObject({ kind: 'failed', why: expect.stringContaining('403') as string })
    expect(asked).toBe(2)
    status = 503
    expect(await get(url)).toMatchObject({ kind: 'failed', why: expect.stringContaining('503') as string })
    expect(asked).toBe(6)
  })

  test('refuses another part than was asked for', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(206, { 'content-range': 'bytes 0-9999/10000' }).end(CONTENT)
    })
    await get(url).catch(() => undefined)
    await writeFile(path, CONTENT.subarray(0, 4000))
    expect(await get(url)).toMatchObject({ kind: 'failed', why: expect.stringContaining('another part') as string })
  })

  test('ends when it is interrupted', async () => {
    const controller = new AbortController()
    const url = await serve(() => controller.abort(new Error('enough')))
    await expect(get(url, { signal: controller.signal })).rejects.toThrow('enough')
  })
})
