/** For tests: a peer that says what it likes, byte for byte. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, type ConnectionOptions, createServer, type TLSSocket } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { ByteReader } from '@reprise/core'
import { decodeFrame, type Echo, encodeFrame, type Frame } from '../frames.ts'
import type { TlsIdentity } from '../identity.ts'
import { ALPN } from '../link.ts'
import type { Role } from '../statement.ts'

export interface RawPeer {
  readonly socket: TLSSocket
  readonly exporter: Uint8Array
  readonly peerKeyDigest: Uint8Array
  readonly send: (...frames: readonly Frame[]) => void
  readonly write: (bytes: Uint8Array) => void
  /** The next frame that is no echo (which are answered, unless `isDeaf`); undefined when the other side has ended. */
  readonly next: () => Promise<Frame | undefined>
  /** Resolves when the other side has ended. */
  readonly ended: Promise<void>
  isDeaf: boolean
}

const ECHO_NONCE = new Uint8Array(8).fill(5)

function rawPeer(socket: TLSSocket, role: Role): RawPeer {
  const frames: Frame[] = []
  let rest = Buffer.alloc(0)
  let wake = Promise.withResolvers<void>()
  let isOver = false
  /** Echoes come after hello. */
  let saidHello = false
  let early: Echo | undefined
  const echo = ({ turn, nonce }: Echo): void => {
    if (turn < 6) self.send({ kind: 'echo', turn: turn + 1, nonce: ECHO_NONCE, back: nonce })
  }
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 4) {
      const length = new ByteReader(rest).u32()
      if (rest.length < 4 + length) break
      const frame = decodeFrame(rest.subarray(4, 4 + length))
      rest = rest.subarray(4 + length)
      if (frame.kind !== 'echo' || self.isDeaf) frames.push(frame)
      else if (saidHello) echo(frame)
      else early = frame
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
    send(...sent) {
      for (const frame of sent) {
        socket.write(encodeFrame(frame))
        if (frame.kind !== 'hello' || saidHello || self.isDeaf) continue
        saidHello = true
        if (role === 'asking') socket.write(encodeFrame({ kind: 'echo', turn: 0, nonce: ECHO_NONCE }))
        else if (early !== undefined) echo(early)
      }
    },
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
  return rawPeer(socket, 'asking')
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
    void onPeer(rawPeer(socket, 'witness'))
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
