/** `poll_oneoff`: descriptors are ready at once, clocks are waited for by letting virtual time pass. */
import { CLOCKS, Errno, EventType, Refusal, refuse, Rights, SUBSCRIPTION_CLOCK_ABSTIME, type Abi } from './abi.ts'
import type { CallsOf, Host } from './calls.ts'
import type { Descriptor } from './descriptor.ts'

const EVENT_BYTES = 32

type Subscription =
  | {
      readonly kind: 'ready'
      readonly userdata: bigint
      readonly type: number
      readonly errno: Errno
      readonly bytes: bigint
    }
  | { readonly kind: 'clock'; readonly userdata: bigint; readonly waitNs: bigint }

export const pollCalls: CallsOf = (host, abi) => ({
  poll_oneoff(subscriptionsAt: number, eventsAt: number, count: number, eventCountAt: number) {
    const { memory } = host
    if (count === 0 || count > host.limits.subscriptions) refuse(Errno.INVAL)
    const each = abi.subscription.lengthBytes
    memory.check(subscriptionsAt, count * each)
    memory.check(eventsAt, count * EVENT_BYTES)
    memory.check(eventCountAt, 4)
    const subscriptions = Array.from({ length: count }, (_, i) => read(host, abi, subscriptionsAt + i * each))

    // The shortest wait of all; none when a descriptor is ready.
    let waitNs = subscriptions.some(({ kind }) => kind === 'ready') ? 0n : undefined
    for (const subscription of subscriptions) {
      if (subscription.kind === 'clock' && (waitNs === undefined || subscription.waitNs < waitNs))
        waitNs = subscription.waitNs
    }
    const passedNs = waitNs ?? 0n
    host.clock.sleep(passedNs)

    let events = 0
    for (const subscription of subscriptions) {
      if (subscription.kind === 'clock' && subscription.waitNs > passedNs) continue
      const at = eventsAt + EVENT_BYTES * events++
      memory.zero(at, EVENT_BYTES)
      memory.setU64(at, subscription.userdata)
      if (subscription.kind === 'clock') continue
      memory.setU16(at + 8, subscription.errno)
      memory.setU8(at + 10, subscription.type)
      memory.setU64(at + 16, subscription.bytes)
    }
    memory.setU32(eventCountAt, events)
  },
})

function read(host: Host, abi: Abi, at: number): Subscription {
  const { memory } = host
  const userdata = memory.getU64(at)
  const type = memory.getU8(at + 8)
  const ready = (errno: Errno, bytes = 0n): Subscription => ({ kind: 'ready', userdata, type, errno, bytes })
  if (type === EventType.CLOCK) {
    const clock = memory.getU32(at + abi.subscription.clockId)
    if (clock >= CLOCKS) return ready(Errno.INVAL)
    const timeout = memory.getU64(at + abi.subscription.timeout)
    const absolute = (memory.getU16(at + abi.subscription.flags) & SUBSCRIPTION_CLOCK_ABSTIME) !== 0
    return { kind: 'clock', userdata, waitNs: host.clock.until(clock, timeout, absolute) }
  }
  if (type !== EventType.FD_READ && type !== EventType.FD_WRITE) return ready(Errno.INVAL)
  try {
    const descriptor = host.descriptors.get(memory.getU32(at + 16), Rights.POLL_FD_READWRITE)
    return ready(Errno.SUCCESS, type === EventType.FD_READ ? unread(host, descriptor) : 0n)
  } catch (error) {
    if (error instanceof Refusal) return ready(error.errno)
    throw error
  }
}

function unread(host: Host, { inode, offset }: Descriptor): bigint {
  if (inode.kind === 'file') return BigInt(Math.max(0, inode.content.lengthBytes - offset))
  const isStdin = inode.kind === 'stream' && inode.name === 'stdin'
  return isStdin ? BigInt(inode.content.lengthBytes - host.stdin.offset) : 0n
}
