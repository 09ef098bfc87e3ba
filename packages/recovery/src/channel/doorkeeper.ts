/** Who may come in, before anybody knows who it is. Truth: spec/channel.md §6. */

import type { Socket } from 'node:net'
import type { ChannelLimits } from './limits.ts'

/** A connection that was let in. */
export interface Guest {
  readonly origin: string
  readonly sinceMs: number
  /** It is known now, and counts for its address no more. */
  readonly known: () => void
}

/** Counts connections by address until they are attested. A class because it owns the sockets. */
export class Doorkeeper {
  readonly #limits: ChannelLimits
  readonly #counts = new Map<string, number>()
  readonly #guests = new Map<string, Guest>()
  readonly #sockets = new Set<Socket>()

  constructor(limits: ChannelLimits) {
    this.#limits = limits
  }

  admit(socket: Socket): boolean {
    socket.on('error', () => undefined)
    const { remoteAddress } = socket
    const origin = networkOf(remoteAddress ?? '')
    const count = this.#counts.get(origin) ?? 0
    if (remoteAddress === undefined || count >= this.#limits.unattestedPerAddress) {
      socket.destroy()
      return false
    }
    this.#counts.set(origin, count + 1)
    let counts = true
    const known = (): void => {
      if (!counts) return
      counts = false
      const rest = (this.#counts.get(origin) ?? 1) - 1
      if (rest > 0) this.#counts.set(origin, rest)
      else this.#counts.delete(origin)
    }
    const name = connectionOf(socket)
    this.#guests.set(name, { origin, sinceMs: performance.now(), known })
    this.#sockets.add(socket)
    socket.once('close', () => {
      known()
      this.#guests.delete(name)
      this.#sockets.delete(socket)
    })
    return true
  }

  /** @param socket - The TLS socket over one that was let in. */
  guestOf(socket: Socket): Guest | undefined {
    return this.#guests.get(connectionOf(socket))
  }

  clear(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

/** A TLS socket does not say whose it is; both ends do. */
function connectionOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}

/** Of IPv6 whoever has one address has its whole /64. */
export function networkOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address
  const [head, tail] = address.split('::')
  const groups = head.split(':').filter((group) => group !== '')
  const after = tail === undefined ? [] : tail.split(':').filter((group) => group !== '')
  while (groups.length + after.length < 8) groups.push('0')
  return [...groups, ...after].slice(0, 4).join(':')
}
