/** Arguments, environment, clocks, random bytes, leaving, and what there is not: signals and sockets. */
import { utf8 } from '@reprise/core'
import { CLOCKS, Errno, refuse } from './abi.ts'
import type { Calls, CallsOf, Host } from './calls.ts'
import { CLOCK_TICK_NS } from './clock.ts'

/** Thrown through the guest by `proc_exit`. */
export class ExitSignal extends Error {
  readonly exitCode: number

  constructor(exitCode: number) {
    super(`the guest left with ${exitCode}`)
    this.exitCode = exitCode
  }
}

export const processCalls: CallsOf = (host) => {
  const { memory, clock, random } = host
  const args = stringList(host, host.options.arguments)
  const environ = stringList(
    host,
    host.options.environment.map(([name, value]) => `${name}=${value}`),
  )
  return {
    args_sizes_get: args.sizes,
    args_get: args.get,
    environ_sizes_get: environ.sizes,
    environ_get: environ.get,

    clock_res_get(id: number, resultAt: number) {
      if (id >= CLOCKS) refuse(Errno.INVAL)
      memory.setU64(resultAt, CLOCK_TICK_NS)
    },

    clock_time_get(id: number, _precision: bigint, resultAt: number) {
      memory.check(resultAt, 8)
      memory.setU64(resultAt, clock.read(id))
    },

    random_get(at: number, lengthBytes: number) {
      random.fill(memory.target(at, lengthBytes))
    },

    proc_exit(exitCode: number) {
      throw new ExitSignal(exitCode)
    },

    sched_yield() {
      // There is nobody to yield to.
    },

    ...socketCalls(host),
  }
}

/** No descriptor is ever a socket. The parameters after the first differ between dialects and are not looked at. */
function socketCalls(host: Host): Calls {
  const call = (name: string) => (fd: number) => {
    host.notes.add('NO_SOCKETS', name)
    host.descriptors.get(fd)
    refuse(Errno.NOTSOCK)
  }
  return Object.fromEntries(
    ['sock_accept', 'sock_recv', 'sock_send', 'sock_shutdown'].map((name) => [name, call(name)]),
  )
}

/** The two calls that hand a list of strings to the guest, each string with a zero byte behind it. */
function stringList({ memory }: Host, strings: readonly string[]) {
  const encoded = strings.map((text) => utf8(`${text}\0`))
  const lengthBytes = encoded.reduce((sum, bytes) => sum + bytes.length, 0)
  return {
    sizes: (countAt: number, lengthAt: number) => {
      memory.check(countAt, 4)
      memory.setU32(lengthAt, lengthBytes)
      memory.setU32(countAt, encoded.length)
    },
    get: (pointersAt: number, bytesAt: number) => {
      memory.check(pointersAt, 4 * encoded.length)
      memory.check(bytesAt, lengthBytes)
      let pointerAt = pointersAt
      let at = bytesAt
      for (const bytes of encoded) {
        memory.setU32(pointerAt, at)
        memory.set(at, bytes)
        pointerAt += 4
        at += bytes.length
      }
    },
  }
}
