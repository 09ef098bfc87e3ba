/** What the WASI calls share: the parts of one host, and how a call is written. */
import type { Abi } from './abi.ts'
import type { VirtualClock } from './clock.ts'
import type { DescriptorTable } from './descriptor.ts'
import type { FileTree } from './file-tree.ts'
import type { File } from './inode.ts'
import type { GuestMemory } from './memory.ts'
import type { Notes } from './notes.ts'
import type { WasiLimits, WasiOptions } from './options.ts'
import type { RandomBytes } from './random.ts'

export interface Host {
  readonly options: WasiOptions
  readonly limits: WasiLimits
  readonly memory: GuestMemory
  readonly tree: FileTree
  readonly descriptors: DescriptorTable
  readonly clock: VirtualClock
  readonly random: RandomBytes
  readonly notes: Notes
  readonly stdin: { offset: number }
  /** A file was closed or synced. */
  readonly settle: (file: File) => void
  /** Tells of a settled file, if it is in an output mount and has a name. */
  readonly announce: (file: File) => void
}

/**
 * One call: its parameters as unsigned numbers (i32) and bigints (i64). It returns for SUCCESS and throws a
 * `Refusal` for every other errno.
 */
export type Call = (...parameters: never[]) => void

export type Calls = Readonly<Record<string, Call>>

export type CallsOf = (host: Host, abi: Abi) => Calls
