import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type LabNetwork, openNetwork } from './network.ts'

let network: LabNetwork
let servers: Server[]
/** Who the agents saw. */
let seen: string[]

beforeEach(async () => {
  network = await openNetwork(['a', 'b', 'c'])
  seen = []
  servers = await Promise.all(
    ['a', 'b'].map(async (host) => {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        seen.push(String(socket.remoteAddress))
        socket.on('error', () => undefined)
        socket.pipe(socket)
      })
      const [ip, port] = network.listenOf(host).split(':')
      server.listen(Number(port), ip)
      await once(server, 'listening')
      return server
    }),
  )
})
afterEach(async () => {
  await network[Symbol.asyncDispose]()
  for (const server of servers) server.close()
})

function open(from: string, to: string): Socket {
  const [host, port] = network.addressOf(to).split(':')
  const [localAddress] = network.addressOf(from).split(':')
  return connect({ host, port: Number(port), localAddress })
}

/** What comes back of a word, or how the connection ended, or that nothing came. */
async function say(socket: Socket): Promise<string> {
  const end = Promise.race([
    once(socket, 'data').then(([bytes]) => String(bytes)),
    once(socket, 'close').then(() => 'closed'),
    new Promise<string>((resolve) => setTimeout(() => resolve('nothing'), 200)),
  ])
  socket.on('error', () => undefined)
  socket.write('hello')
  return await end.catch(() => 'closed')
}

describe('the network of a laboratory', () => {
  test('lets hosts reach each other, each under its own address', async () => {
    expect(await say(open('a', 'b'))).toBe('hello')
    expect(seen).toEqual([network.addressOf('a').split(':')[0]])
  })

  test('turns away from a host without an agent', async () => {
    expect(await say(open('a', 'c'))).toBe('closed')
  })

  test('has ways by pairs: closed, silent, a relay', async () => {
    network.setWays((from, to) => (from === 'a' ? 'closed' : to === 'a' ? 'silent' : { relayMs: 60 }))
    expect(await say(open('a', 'b'))).toBe('closed')
    expect(await say(open('c', 'a'))).toBe('nothing')
    const beforeMs = performance.now()
    expect(await say(open('c', 'b'))).toBe('hello')
    expect(performance.now() - beforeMs).toBeGreaterThanOrEqual(58)
  })

  test('breaks what is open when a cable is cut', async () => {
    const socket = open('a', 'b')
    expect(await say(socket)).toBe('hello')
    const closed = once(socket, 'close')
    network.setWays(() => 'silent')
    await closed
  })

  test('two laboratories have different addresses', async () => {
    await using other = await openNetwork(['a'])
    expect(other.addressOf('a')).not.toBe(network.addressOf('a'))
  })
})
