/** What happens with an image once it is open: it is loaded, and its services start. Truth: spec/loading.md. */

import type { Secret } from '../sealing/secret.ts'
import type { Service } from '../types.ts'
import type { ServiceStatus } from '../channel/messages.ts'

/** Credentials of one service by name; given to it as files of a folder on a tmpfs, mode 0400. */
export type Credentials = ReadonlyMap<string, Secret>

export interface LoadRequest {
  /** The plain payload, a file system image or a folder already unpacked, on memory-backed storage. */
  readonly payload: string
  readonly services: readonly Service[]
  readonly credentialsOf: (service: string) => Credentials
  /** Called at every change of a service. */
  readonly onStatus: (status: ServiceStatus) => void
  readonly signal: AbortSignal
}

export type Loaded =
  | { readonly kind: 'ready'; readonly stop: () => Promise<void> }
  /** A service did not come up; those that were ready go on running. */
  | { readonly kind: 'failed'; readonly service: string; readonly why: string; readonly stop: () => Promise<void> }
  /** This machine cannot load in this way; `why` says what is missing and what to do. */
  | { readonly kind: 'unsupported'; readonly why: string }

/** `namespace`, `kexec`; the door for `vm` stands open. */
export interface Loader {
  readonly name: 'namespace' | 'kexec' | 'vm'
  readonly load: (request: LoadRequest) => Promise<Loaded>
}
