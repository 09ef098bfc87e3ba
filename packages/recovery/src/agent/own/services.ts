/** The services of a released host, as far as the agent has to do with them. Rules: spec/agent.md §7. */

import { setTimeout as sleepMs } from 'node:timers/promises'
import { RecoveryError } from '../../error.ts'
import type { ServiceStatus } from '../../channel/messages.ts'
import type { Generation } from '../../sealing/generations.ts'
import { Secret } from '../../sealing/secret.ts'
import { type Ground, messageOf } from '../ground.ts'
import { type ImageOptions, loadImage, type Running } from './image.ts'

export interface Services {
  readonly now: readonly ServiceStatus[]
  readonly isLoading: boolean
  /** Why nothing was loaded; undefined when it was, or is. */
  readonly failure: string | undefined
  /** Once in the life of an agent. */
  readonly begin: (generation: Generation, root: Secret) => void
  readonly stop: () => Promise<void>
}

/** Between two attempts to load an image: a disk or memory may be full, a file may be brought again. */
const RETRY_MS = 2000
const RETRY_MS_MAX = 300_000

export function makeServices(ground: Ground, image: ImageOptions | undefined, onChange: () => void): Services {
  const ended = new AbortController()
  const statuses = new Map<string, ServiceStatus>()
  let loading: Promise<Running | undefined> | undefined
  let isLoading = false
  let failure: string | undefined

  async function load(generation: Generation, root: Secret, options: ImageOptions): Promise<Running | undefined> {
    // A rotation wipes the root that it came with.
    using own = Secret.owning(root.bytes.slice())
    const onStatus = (status: ServiceStatus): void => {
      statuses.set(status.name, status)
      ground.report('service', { name: status.name, state: status.state })
      onChange()
    }
    try {
      for (let afterMs = RETRY_MS; ; afterMs = Math.min(2 * afterMs, RETRY_MS_MAX)) {
        isLoading = true
        try {
          const parts = { ground, generation, root: own, image: options, signal: ended.signal, onStatus }
          const running = await loadImage(parts)
          failure = undefined
          return running
        } catch (error) {
          if (ended.signal.aborted) return undefined
          const why = messageOf(error)
          if (why !== failure) ground.alarm(`the image is not loaded: ${why}`)
          failure = why
          // What this machine cannot load it cannot load later.
          if (error instanceof RecoveryError && error.code === 'LOADING') return undefined
          isLoading = false
          onChange()
        }
        await sleepMs(afterMs, undefined, { signal: ended.signal, ref: false }).catch(() => undefined)
        if (ended.signal.aborted) return undefined
      }
    } finally {
      isLoading = false
      onChange()
    }
  }

  return {
    get now() {
      return [...statuses.values()]
    },
    get isLoading() {
      return isLoading
    },
    get failure() {
      return failure
    },
    begin: (generation, root) => {
      if (image !== undefined) loading ??= load(generation, root, image)
    },
    async stop() {
      ended.abort(new Error('the agent ends'))
      await (await loading)?.stop()
    },
  }
}
