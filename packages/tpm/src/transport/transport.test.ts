import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromHex, hex } from '@reprise/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openSocketTransport } from './socket.ts'

const COMMAND = fromHex('80010000000a00000181')
const GOOD = '80010000000c000000001234'

let folder: string
let server: Server
const sockets = new Set<Socket>()
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reprise-transport-'))
})
afterEach(() => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  server?.close()
  rmSync(folder, { recursive: true })
})

/** A TPM that does what it is told with every command. */
async function listening(behave: (socket: Socket) => void): Promise<string> {
  const path = join(folder, 's')
  server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', () => behave(socket))
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return path
}

describe('a socket transport', () => {
  test('puts an answer together from its pieces', async () => {
    const path = await listening((socket) => {
      const bytes = fromHex(GOOD)
      socket.write(bytes.subarray(0, 3))
      setImmediate(() => socket.write(bytes.subarray(3, 11)))
      setTimeout(() => socket.write(bytes.subarray(11)), 2)
    })
    const transport = await openSocketTransport({ path })
    expect(hex(await transport.send(COMMAND))).toBe(GOOD)
    expect(hex(await transport.send(COMMAND))).toBe(GOOD)
    expect(transport.kind).toBe('unix')
    await transport.close()
  })

  test('speaks TCP as well', async () => {
    server = createServer((socket) => socket.on('data', () => socket.write(fromHex(GOOD))))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const transport = await openSocketTransport({ host: '127.0.0.1', port })
    expect(transport.kind).toBe('tcp')
    expect(hex(await transport.send(COMMAND))).toBe(GOOD)
    await transport.close()
  })

  test.each([
    ['an answer beyond the limit', '800100001001', 'MALFORMED'],
    ['an answer shorter than its header', '800100000009', 'MALFORMED'],
    ['bytes that nobody asked for', `${GOOD}00`, 'MALFORMED'],
  ])('gives up the connection at %s', async (_, bytes, code) => {
    const path = await listening((socket) => socket.write(fromHex(bytes)))
    const transport = await openSocketTransport({ path })
    await expect(transport.send(COMMAND)).rejects.toMatchObject({ code })
    await expect(transport.send(COMMAND)).rejects.toMatchObject({ code })
  })

  test('says that no answer came in time, and stays broken', async () => {
    const path = await listening(() => undefined)
    const transport = await openSocketTransport({ path }, { timeoutMs: 20 })
    await expect(transport.send(COMMAND)).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('20 ms') as string,
    })
    await expect(transport.send(COMMAND)).rejects.toMatchObject({ code: 'TIMEOUT' })
  })

  test('says that the connection was closed in the middle of an answer', async () => {
    const path = await listening((socket) => socket.end(fromHex(GOOD.slice(0, 14))))
    const transport = await openSocketTransport({ path })
    await expect(transport.send(COMMAND)).rejects.toMatchObject({ code: 'TRANSPORT' })
  })

  test('says that it was closed by this program', async () => {
    const path = await listening(() => undefined)
    const transport = await openSocketTransport({ path })
    const sending = transport.send(COMMAND)
    await transport.close()
    await expect(sending).rejects.toThrow(/closed by this program/)
  })

  test('says where nobody listens', async () => {
    await expect(openSocketTransport({ path: join(folder, 'none') })).rejects.toMatchObject({ code: 'TRANSPORT' })
  })

  test('refuses a path that the kernel would cut', async () => {
    await expect(openSocketTransport({ path: `/${'x'.repeat(107)}` })).rejects.toMatchObject({
      code: 'PATH_TOO_LONG',
      message: expect.stringContaining('108 bytes') as string,
    })
  })
})
