/**
 * The network of a laboratory: one loopback address for each host, and a door at each that lets a connection through, lets
 * it wait, turns it away, or delays it. So a cable can be cut, and a thief's network be another one, without the rights
 * that namespaces and filters want.
 *
 * Hosts bind what they open to their own address; that is how a door knows who comes.
 */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { RecoveryError } from '../error.ts'
import type { HostId } from '../types.ts'

/** How what one host sends reaches another: `silent` is a cable that is cut, `closed` an address that nobody has. */
export type Way = 'open' | 'closed' | 'silent' | { readonly relayMs: number }

/** @param from - Undefined: nobody of the laboratory, such as a person with a browser. */
export type Ways = (from: HostId | undefined, to: HostId) => Way

export interface LabNetwork extends AsyncDisposable {
  /** `host:port` for the roster. */
  readonly addressOf: (host: HostId) => string
  /** Where the agent listens, behind the door. */
  readonly listenOf: (host: HostId) => string
  /** Where its agent serves its board, to which there is no door. */
  readonly boardOf: (host: HostId) => string
  /** From now on; connections that are no longer open are broken. */
  readonly setWays: (ways: Ways) => void
}

const DOOR_PORT = 8471
const AGENT_PORT = 8472
const BOARD_PORT = 8480
/** Held for as long as the laboratory is there: no other one on this machine has the same addresses. */
const GUARD_PORT = 8470
const NUMBERS = 254

interface Passing {
  readonly from: HostId | undefined
  readonly to: HostId
  readonly sockets: readonly Socket[]
}

/** @param hosts - At most 62,500, in racks of 250 by number. @throws RecoveryError `LABORATORY` */
export async function openNetwork(hosts: readonly HostId[]): Promise<LabNetwork> {
  const { guard, number } = await reserve()
  const ipOf = (host: HostId): string => {
    const at = hosts.indexOf(host)
    return `127.${number}.${Math.floor(at / 250) + 1}.${(at % 250) + 1}`
  }
  const names = new Map(hosts.map((host) => [ipOf(host), host]))
  const passing = new Set<Passing>()
  let ways: Ways = () => 'open'
  const doors = await Promise.all(
    hosts.map((to) =>
      openDoor(ipOf(to), (socket) => {
        const from = names.get(socket.remoteAddress ?? '')
        pass({ from, to, socket, target: ipOf(to), way: ways(from, to), passing })
      }),
    ),
  )
  return {
    addressOf: (host) => `${ipOf(host)}:${DOOR_PORT}`,
    listenOf: (host) => `${ipOf(host)}:${AGENT_PORT}`,
    boardOf: (host) => `${ipOf(host)}:${BOARD_PORT}`,
    setWays(next) {
      ways = next
      for (const { from, to, sockets } of passing)
        if (next(from, to) !== 'open') for (const socket of sockets) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      for (const { sockets } of passing) for (const socket of sockets) socket.destroy()
      for (const server of [...doors, guard]) {
        server.close()
        await once(server, 'close')
      }
    },
  }
}

/** Addresses that no other laboratory has. */
async function reserve(): Promise<{ readonly guard: Server; readonly number: number }> {
  for (let tries = 0; tries < NUMBERS; tries++) {
    const number = ((process.pid + tries) % NUMBERS) + 1
    const guard = createServer((socket) => socket.destroy())
    guard.listen(GUARD_PORT, `127.${number}.0.1`)
    try {
      await once(guard, 'listening')
      return { guard, number }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code !== 'EADDRINUSE')
        throw new RecoveryError('LABORATORY', {
          message: `127.${number}.0.1 cannot be used: ${message}`,
          hint: 'a laboratory wants all of 127.0.0.0/8 on its loopback, as Linux has it',
          cause: error,
        })
    }
  }
  throw new RecoveryError('LABORATORY', {
    message: `${NUMBERS} laboratories are on this machine already`,
    hint: 'end one of them',
  })
}

async function openDoor(address: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, onConnection)
  server.listen(DOOR_PORT, address)
  await once(server, 'listening')
  return server
}

interface Coming {
  readonly from: HostId | undefined
  readonly to: HostId
  readonly socket: Socket
  readonly target: string
  readonly way: Way
  readonly passing: Set<Passing>
}

function pass({ from, to, socket, target, way, passing }: Coming): void {
  socket.on('error', () => socket.destroy())
  if (way === 'closed') {
    socket.resetAndDestroy()
    return
  }
  const keep = (...sockets: readonly Socket[]): void => {
    const entry = { from, to, sockets }
    passing.add(entry)
    for (const each of sockets)
      each.once('close', () => {
        passing.delete(entry)
        for (const other of sockets) other.destroy()
      })
  }
  if (way === 'silent') {
    keep(socket)
    return
  }
  // The agent sees who comes as if there were no door.
  const localAddress = socket.remoteAddress
  const inner = connect({ port: AGENT_PORT, host: target, localAddress, allowHalfOpen: true, noDelay: true })
  // A host without an agent turns everybody away.
  inner.on('error', () => socket.resetAndDestroy())
  keep(socket, inner)
  const delayMs = way === 'open' ? 0 : way.relayMs / 2
  forward(socket, inner, delayMs)
  forward(inner, socket, delayMs)
}

function forward(source: Socket, target: Socket, delayMs: number): void {
  if (delayMs === 0) {
    source.pipe(target)
    return
  }
  // Timers of one length fire in the order in which they were set.
  source.on('data', (bytes) => setTimeout(() => target.write(bytes), delayMs))
  source.on('end', () => setTimeout(() => target.end(), delayMs))
}
