/** Channels that are open already, for whoever has something to say. */

import { RecoveryError } from '../error.ts'
import type { HostId } from '../types.ts'
import type { Channel, Opened } from './channel.ts'
import { openChannel, type OpenRequest } from './open.ts'
import type { PlanView } from './plan-view.ts'

export interface PoolRequest extends Omit<OpenRequest, 'view' | 'to'> {
  /** The newest plan: channels of another one are not used any more. */
  readonly view: () => PlanView
}

export interface ChannelPool {
  /** A channel that may still be used for a while, or a new one; what failed before is tried anew. */
  readonly to: (host: HostId) => Promise<Opened>
  /** New channels from now on: what this host's registers say has changed. Those that are open end by themselves. */
  readonly renew: () => void
  readonly close: () => void
}

/** Who takes a channel wants to hear the answer on it, in milliseconds. */
const REMAINING_MIN_MS = 15_000

interface Kept {
  readonly digest: Uint8Array
  readonly opened: Promise<Opened>
}

export function channelPool(request: PoolRequest): ChannelPool {
  const kept = new Map<HostId, Kept>()
  let isClosed = false

  async function usable(host: HostId, view: PlanView): Promise<Opened | undefined> {
    const known = kept.get(host)
    if (known === undefined || Buffer.compare(known.digest, view.digest) !== 0) return undefined
    const opened = await known.opened
    return opened.kind === 'attested' && isGood(opened.channel) ? opened : undefined
  }

  async function open(host: HostId, view: PlanView): Promise<Opened> {
    const opened = await openChannel({ ...request, view, to: host })
    if (opened.kind !== 'attested') return opened
    const channel = watched(opened.channel, () => forget(host, channel))
    if (isClosed) channel.close()
    return { kind: 'attested', channel }
  }

  function forget(host: HostId, channel: Channel): void {
    const known = kept.get(host)
    void known?.opened.then((opened) => {
      if (opened.kind === 'attested' && opened.channel === channel && kept.get(host) === known) kept.delete(host)
    })
  }

  return {
    async to(host) {
      if (isClosed) throw new RecoveryError('CHANNEL', { message: 'The channels of this host are closed.' })
      const view = request.view()
      const opening = kept.get(host)
      const found = await usable(host, view)
      if (found !== undefined) return found
      // Somebody else may have begun to open one meanwhile.
      const now = kept.get(host)
      if (now !== undefined && now !== opening) return now.opened
      // The old one, if there is one, may still have messages on it; its time, or its idleness, ends it.
      const opened = open(host, view)
      const entry = { digest: view.digest, opened }
      kept.set(host, entry)
      const result = await opened.catch((error: unknown) => {
        kept.delete(host)
        throw error
      })
      if (result.kind !== 'attested' && kept.get(host) === entry) kept.delete(host)
      return result
    },
    renew: () => kept.clear(),
    close() {
      isClosed = true
      for (const { opened } of kept.values())
        void opened.then(
          (one) => one.kind === 'attested' && one.channel.close(),
          () => undefined,
        )
      kept.clear()
    },
  }
}

function isGood(channel: Channel): boolean {
  return channel.isOpen && channel.remainingMs >= REMAINING_MIN_MS
}

/** The same channel; `onFailure` hears of a message that came to nothing. */
function watched(channel: Channel, onFailure: () => void): Channel {
  return {
    peer: channel.peer,
    get isOpen() {
      return channel.isOpen
    },
    get remainingMs() {
      return channel.remainingMs
    },
    async say(message, timeoutMs) {
      try {
        return await channel.say(message, timeoutMs)
      } catch (error) {
        onFailure()
        throw error
      }
    },
    close() {
      onFailure()
      channel.close()
    },
  }
}
