/** The services of a released host, as far as the agent has to do with them. Rules: spec/agent.md §7. */

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

export function makeServices(ground: Ground, image: ImageOptions | undefined, onChange: () => void): Services {
  const ended = new AbortController()
  const statuses = new Map<string, ServiceStatus>()
  let loading: Promise<Running | undefined> | undefined
  let isLoading = false
  let failure: string | undefined

  async function load(generation: Generation, root: Secret, options: ImageOptions): Promise<Running | undefined> {
    isLoading = true
    // A rotation wipes the root that it came with.
    using own = Secret.owning(root.bytes.slice())
    const onStatus = (status: ServiceStatus): void => {
      statuses.set(status.name, status)
      ground.report('service', { name: status.name, state: status.state })
      onChange()
    }
    try {
      return await loadImage({ ground, generation, root: own, image: options, signal: ended.signal, onStatus })
    } catch (error) {
      if (ended.signal.aborted) return undefined
      failure = messageOf(error)
      ground.alarm(`the image is not loaded: ${failure}`)
      return undefined
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
