/** What a server bears, and what strangers and hosts gone mad cannot do to it. */

import { connect as connectTcp } from 'node:net'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { networkOf } from './doorkeeper.ts'
import { helloOf, identities, lab, type Lab, opened, proofOf, unsigned } from './testing/lab.ts'
import { callRaw, type RawPeer } from './testing/raw-peer.ts'

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '::ffff:192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2::6', '2001:db8:1:2'],
  ['2001:db8::6', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
])('%s is of the network %s', (address, network) => {
  expect(networkOf(address)).toBe(network)
})

describe('a door', () => {
  /** On a busy machine TLS alone takes half a second. */
  const hello = { helloMs: 2000, attestMs: 3000 }

  test.concurrent.each<[string, (peer: RawPeer, here: Lab) => void, RegExp]>([
    ['says nothing', () => undefined, /says no hello/],
    ['says only hello', (peer, here) => peer.send(helloOf(here.asking)), /does not prove itself in time/],
    ['announces 4 GiB', (peer) => peer.write(Buffer.alloc(8, 0xff)), /a frame of 4294967295 bytes/],
    ['announces a plan', (peer) => peer.write(Buffer.from([0, 2, 0, 0, 0x7b])), /a frame of 131072 bytes/],
    ['says a message first', (peer) => peer.send({ kind: 'say', id: 1, message: { kind: 'status' } }), /before it is/],
    [
      'says a message after its hello',
      (peer, here) => peer.send(helloOf(here.asking), { kind: 'say', id: 1, message: { kind: 'status' } }),
      /say before it is attested/,
    ],
    [
      'echoes before its hello',
      (peer) => peer.send({ kind: 'echo', turn: 0, nonce: new Uint8Array(8) }),
      /an echo out of turn/,
    ],
    [
      'echoes without end',
      (peer, here) => peer.send(helloOf(here.asking), { kind: 'echo', turn: 0, nonce: new Uint8Array(8) }),
      /an echo out of turn/,
    ],
  ])('is closed before a peer that %s', async (_what, play, why) => {
    await using here = await lab({ limits: hello })
    const peer = await callRaw(here.server.address, identities.thief)
    play(peer, here)
    await peer.ended
    expect(here.log.join()).toMatch(why)
    unsigned(here)
    opened(await here.open())
  })

  test.concurrent('is closed before one that sends a byte at a time', async () => {
    await using here = await lab({ limits: hello })
    const peer = await callRaw(here.server.address, identities.thief)
    const drip = setInterval(() => peer.write(Buffer.from([0])), 50)
    await peer.ended
    clearInterval(drip)
    expect(here.log.join()).toMatch(/says no hello|an empty frame/)
  })

  test.concurrent('is closed before one that never finishes a frame, when it is attested too', async () => {
    await using here = await lab({ limits: { frameMs: 200 } })
    const peer = await callRaw(here.server.address, identities.thief)
    peer.send(helloOf(here.asking))
    const theirs = await peer.next()
    if (theirs?.kind !== 'hello') throw new Error('no hello')
    peer.send(await proofOf(here.asking, peer, theirs))
    expect((await peer.next())?.kind).toBe('proof')
    const drip = setInterval(() => peer.write(Buffer.from([0, 0, 1, 0, 0x7b].slice(0, 1))), 50)
    await peer.ended
    clearInterval(drip)
    expect(here.log.join()).toMatch(/does not finish its frame|an empty frame/)
  })

  test.concurrent.each([
    ['says nothing at all', (): Buffer => Buffer.alloc(0)],
    ['speaks HTTP', (): Buffer => Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['sends noise', (): Buffer => Buffer.from('\x16\x03\x01\x40\x00'.padEnd(4096, '\x07'), 'latin1')],
  ])('is closed before a connection that %s', async (_what, bytes) => {
    await using here = await lab({ limits: hello })
    const socket = connectTcp(Number(here.server.address.split(':')[1]), '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(bytes())
    socket.resume()
    await once(socket, 'close')
    opened(await here.open())
  })

  test.each([
    ['TLS 1.2', { secureContext: undefined, maxVersion: 'TLSv1.2' as const, minVersion: 'TLSv1.2' as const }],
    ['another protocol', { ALPNProtocols: ['http/1.1'] }],
  ])('does not open to %s', async (_what, tls) => {
    await using here = await lab({ limits: hello })
    await expect(callRaw(here.server.address, identities.thief, tls)).rejects.toThrow(/alert|socket/i)
    opened(await here.open())
  })

  test.each([
    ['no protocol', { ALPNProtocols: [] as string[] }, /does not speak reprise-peer/],
    ['no certificate', { secureContext: undefined }, /shows no key on P-256/],
  ])('does not open to %s, once it has seen that', async (_what, tls, why) => {
    await using here = await lab({ limits: hello })
    const peer = await callRaw(here.server.address, identities.thief, tls)
    await peer.ended
    expect(here.log.join()).toMatch(why)
  })

  test('is closed before one that closes its own half', async () => {
    await using here = await lab()
    const peer = await callRaw(here.server.address, identities.thief)
    peer.send(helloOf(here.asking))
    expect((await peer.next())?.kind).toBe('hello')
    peer.socket.end()
    await peer.ended
    expect(here.log.join()).toMatch(/is gone/)
  })

  test('writes what peers say on one line', async () => {
    await using here = await lab()
    const peer = await callRaw(here.server.address, identities.thief)
    const content = Buffer.from('{"\\u001b[2J\\nweb-1: attested":0,"kind":"echo","nonce":"0001020304050607","turn":0}')
    const header = Buffer.alloc(4)
    header.writeUInt32BE(content.length)
    peer.write(Buffer.concat([header, content]))
    await peer.ended
    expect(here.log.join()).toMatch(/breaks the rules/)
    expect(here.log.join()).not.toMatch(/[\u0000-\u001f]/)
  })

  test('lets no more strangers in from one address than it bears, and others when they have left', async () => {
    await using here = await lab({ limits: { unattestedPerAddress: 3, helloMs: 60_000, attestMs: 60_000 } })
    const strangers = await Promise.all([1, 2, 3].map(() => callRaw(here.server.address, identities.thief)))
    expect(await here.open()).toMatchObject({ kind: 'unreachable' })
    opened(await here.open({ from: '127.0.0.2' }))
    strangers[0].socket.destroy()
    for (;;) {
      const result = await here.open()
      if (result.kind === 'attested') break
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    for (const { socket } of strangers) socket.destroy()
  })

  test('lets hosts that are known stay, whatever strangers do, and one host have so many channels', async () => {
    await using here = await lab({ limits: { unattestedPerAddress: 1, perHost: 2 } })
    const first = opened(await here.open())
    const second = opened(await here.open())
    const third = opened(await here.open())
    await expect(first.say({ kind: 'status' }, 5000)).rejects.toMatchObject({ code: 'CHANNEL' })
    expect(await second.say({ kind: 'status' }, 5000)).toMatchObject({ kind: 'taken' })
    expect(await third.say({ kind: 'status' }, 5000)).toMatchObject({ kind: 'taken' })
  })

  test('is closed before a host that says more than it may, or out of turn', async () => {
    await using here = await lab({ limits: { inFlight: 2 }, answer: () => new Promise(() => undefined) })
    for (const ids of [[1, 2, 3], [2], [1, 1]]) {
      const peer = await callRaw(here.server.address, identities.thief)
      peer.send(helloOf(here.asking))
      const theirs = await peer.next()
      if (theirs?.kind !== 'hello') throw new Error('no hello')
      peer.send(await proofOf(here.asking, peer, theirs))
      expect((await peer.next())?.kind).toBe('proof')
      peer.send(...ids.map((id) => ({ kind: 'say', id, message: { kind: 'status' } }) as const))
      expect(await peer.next()).toMatchObject({ kind: 'refuse' })
    }
  })
})
