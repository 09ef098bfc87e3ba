/** What happens with an image once it is open: it is loaded, and its services start. Truth: spec/loading.md. */

import type { Secret } from '../sealing/secret.ts'
import type { Service } from '../types.ts'
import type { ServiceStatus } from '../channel/messages.ts'

/** Credentials of one service by name; given to it as files of a folder in memory, mode 0400. */
export type Credentials = ReadonlyMap<string, Secret>

export interface LoadRequest {
  /** The plain payload, a file system image or a folder already unpacked, on memory-backed storage. */
  readonly payload: string
  readonly services: readonly Service[]
  readonly credentialsOf: (service: string) => Credentials
  /** Called at every change of a service. */
  readonly onStatus: (status: ServiceStatus) => void
  /** A line of a service's output or error output, without its end; at most 4096 characters of it. */
  readonly onOutput?: (service: string, line: string) => void
  /** Ends loading: what was started is stopped, and `load` is rejected with its reason. */
  readonly signal: AbortSignal
}

export type Loaded =
  | { readonly kind: 'ready'; readonly stop: () => Promise<void> }
  /** A service did not come up; those that were ready go on running. */
  | { readonly kind: 'failed'; readonly service: string; readonly why: string; readonly stop: () => Promise<void> }
  /** Another kernel is loaded, and starts with `leave`, which ends this system at once; services are its matter. */
  | { readonly kind: 'leaving'; readonly leave: () => Promise<never>; readonly stop: () => Promise<void> }
  /** This machine cannot load in this way; `why` says what is missing and what to do. */
  | { readonly kind: 'unsupported'; readonly why: string }

/** `namespace`, `kexec`; the door for `vm` stands open. */
export interface Loader {
  readonly name: 'namespace' | 'kexec' | 'vm'
  readonly load: (request: LoadRequest) => Promise<Loaded>
}
