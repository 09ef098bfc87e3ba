/** For tests: a peer that says what it likes, byte for byte. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, type ConnectionOptions, createServer, type TLSSocket } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { ByteReader } from '@reprise/core'
import { decodeFrame, encodeFrame, type Frame } from '../frames.ts'
import type { TlsIdentity } from '../identity.ts'
import { ALPN } from '../link.ts'

export interface RawPeer {
  readonly socket: TLSSocket
  readonly exporter: Uint8Array
  readonly peerKeyDigest: Uint8Array
  readonly send: (...frames: readonly Frame[]) => void
  readonly write: (bytes: Uint8Array) => void
  /** The next frame that is no ping (which are answered, unless `isDeaf`); undefined when the other side has ended. */
  readonly next: () => Promise<Frame | undefined>
  /** Resolves when the other side has ended. */
  readonly ended: Promise<void>
  isDeaf: boolean
}

function rawPeer(socket: TLSSocket): RawPeer {
  const frames: Frame[] = []
  let rest = Buffer.alloc(0)
  let wake = Promise.withResolvers<void>()
  let isOver = false
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 4) {
      const length = new ByteReader(rest).u32()
      if (rest.length < 4 + length) break
      const frame = decodeFrame(rest.subarray(4, 4 + length))
      rest = rest.subarray(4 + length)
      if (frame.kind === 'ping' && !self.isDeaf) self.send({ ...frame, kind: 'pong' })
      else frames.push(frame)
    }
    wake.resolve()
  })
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      isOver = true
      wake.resolve()
      resolve()
    }
    socket.once('end', end)
    socket.once('close', end)
  })
  const spki = socket.getPeerX509Certificate()?.publicKey.export({ type: 'spki', format: 'der' })
  const self: RawPeer = {
    ...{ socket, ended, isDeaf: false },
    exporter: socket.exportKeyingMaterial(32, 'EXPORTER-reprise/peer/v1', Buffer.alloc(0)),
    peerKeyDigest: createHash('sha256')
      .update(spki ?? new Uint8Array())
      .digest(),
    send: (...sent) => sent.forEach((frame) => socket.write(encodeFrame(frame))),
    write: (bytes) => void socket.write(bytes),
    async next() {
      while (frames.length === 0 && !isOver) {
        await wake.promise
        wake = Promise.withResolvers()
      }
      return frames.shift()
    },
  }
  return self
}

/** Connects as any program could. */
export async function callRaw(address: string, identity: TlsIdentity, more: ConnectionOptions = {}): Promise<RawPeer> {
  const port = Number(address.slice(address.lastIndexOf(':') + 1))
  const tls = { secureContext: identity.context, rejectUnauthorized: false, ALPNProtocols: [ALPN], ...more }
  const socket = connect({ host: '127.0.0.1', port, ...tls })
  await once(socket, 'secureConnect')
  return rawPeer(socket)
}

export interface RawServer {
  readonly address: string
  readonly close: () => void
}

/** Answers as any program could. */
export async function serveRaw(identity: TlsIdentity, onPeer: (peer: RawPeer) => Promise<void>): Promise<RawServer> {
  const { key, cert } = identity
  const server = createServer({ key, cert, requestCert: true, rejectUnauthorized: false, ALPNProtocols: [ALPN] })
  const sockets = new Set<TLSSocket>()
  server.on('secureConnection', (socket) => {
    sockets.add(socket)
    void onPeer(rawPeer(socket))
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
