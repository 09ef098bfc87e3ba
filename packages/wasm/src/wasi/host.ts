/**
 * The deterministic WASI host: both `wasi_snapshot_preview1` and `wasi_unstable`, synchronous, in memory. Nothing comes
 * in but its options, so what a guest sees depends on them and on its own execution alone.
 *
 * Format: spec/wasi-host.md, part of semantics `wasm/1`.
 */
import { ABIS, Errno, Refusal, refuse, type Abi } from './abi.ts'
import type { Call, Calls, Host } from './calls.ts'
import { VirtualClock } from './clock.ts'
import { Budget } from './content.ts'
import { DescriptorTable } from './descriptor.ts'
import { fdCalls } from './fd-calls.ts'
import { FileTree, type FileTreeParts } from './file-tree.ts'
import { GuestMemory, type MemoryHolder } from './memory.ts'
import { Notes, type Note } from './notes.ts'
import { checkOptions, WASI_LIMITS, type SavedHost, type WasiOptions } from './options.ts'
import { outputPath, Outputs, type WasiOutput } from './outputs.ts'
import { pathCalls } from './path-calls.ts'
import { pollCalls } from './poll-calls.ts'
import { ExitSignal, processCalls } from './process-calls.ts'
import { RandomBytes } from './random.ts'
import { restore } from './restore.ts'
import { save } from './saved.ts'
import { StateEncoder } from './state.ts'
import { traced } from './trace.ts'

/** A call as the guest imports it: i32 as number, i64 as bigint, an errno back. */
export type WasiFunction = (...parameters: (number | bigint)[]) => number

export interface WasiHost {
  /**
   * What a guest imports by this name: undefined for another module; a function that answers ENOSYS for a call that is
   * not known.
   */
  readonly function: (moduleName: string, name: string) => WasiFunction | undefined
  /** Gives the host the guest's memory, before its first call. */
  readonly bind: (memory: MemoryHolder) => void
  /** The exit code when `thrown` is how `proc_exit` leaves the guest; else undefined. */
  readonly isExit: (thrown: unknown) => number | undefined
  /** All that decides the rest of the run, spec/wasi-host.md §10. */
  readonly encodeState: () => Uint8Array
  /** In the order of their paths' bytes. */
  readonly outputs: () => readonly WasiOutput[]
  /** The `outputs` tree over {@link outputs}, spec/measurement.md §3. */
  readonly outputsRoot: () => Uint8Array
  /** Output paths of inputs that the guest removed or moved away. */
  readonly removed: () => readonly string[]
  /**
   * All that a host with the same options needs to go on from here ({@link WasiOptions.saved}), between two calls. The
   * contents are copies: the caller may transfer them.
   */
  readonly save: () => SavedHost
  /** What the guest asked for and did not get. */
  readonly notes: () => readonly Note[]
}

/**
 * @throws RangeError when the options cannot be (a mount outside, a path twice, more inputs than inodes).
 * @throws WasmError `SNAPSHOT` when `saved` is not what a host of these options can have saved. That it is what this
 *   run's host saved, the caller sees by comparing {@link WasiHost.encodeState} and {@link WasiHost.outputsRoot}.
 */
export function createWasi(options: WasiOptions): WasiHost {
  const limits = { ...WASI_LIMITS, ...options.limits }
  checkOptions(options, limits)
  const notes = new Notes()
  const clock = new VirtualClock(options.clockStartNs, options.position)
  // Inputs are there from the start of the clock, at whatever position the host is made.
  let started = false
  const now = () => (started ? clock.realtime() : options.clockStartNs)
  const tree = inputTree({ options, limits, notes, now, budget: new Budget(limits.contentBytes, notes) })
  started = true
  const host: Host = {
    options,
    limits,
    notes,
    clock,
    tree,
    memory: new GuestMemory(),
    descriptors: new DescriptorTable({ tree, notes, max: limits.openFiles }),
    random: new RandomBytes(options.seed, options.sha256),
    stdin: { offset: 0 },
    settle(file) {
      if (!file.unsettled) return
      file.unsettled = false
      tree.changed.add(file.number)
      host.announce(file)
    },
    announce(file) {
      const path = tree.pathOf(file)
      if (file.mount.output && path !== undefined) options.onOutputClosed?.(outputPath(file.mount, path))
    },
  }
  if (options.saved !== undefined) restore(host, options.saved)
  const state = new StateEncoder(host)
  const outputs = new Outputs(host)
  const modules = new Map(ABIS.map((abi) => [abi.module as string, callsOf(host, abi)]))
  return {
    function(moduleName, name) {
      const calls = modules.get(moduleName)
      if (calls === undefined) return undefined
      const call = guarded(host, Object.hasOwn(calls, name) ? calls[name] : missing(host, name))
      return options.onCall === undefined ? call : traced(host, { name, call, onCall: options.onCall })
    },
    bind: (memory) => host.memory.bind(memory),
    isExit: (thrown) => (thrown instanceof ExitSignal ? thrown.exitCode : undefined),
    encodeState: () => state.encode(),
    outputs: () => outputs.list(),
    outputsRoot: () => outputs.root(),
    removed: () => outputs.removed(),
    save: () => save(host),
    notes: () => notes.list(),
  }
}

function inputTree(parts: FileTreeParts): FileTree {
  try {
    return new FileTree(parts)
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause
    throw new RangeError(`the mounts hold more than ${parts.limits.inodes} files and folders`, { cause })
  }
}

function callsOf(host: Host, abi: Abi): Calls {
  return { ...processCalls(host, abi), ...fdCalls(host, abi), ...pathCalls(host, abi), ...pollCalls(host, abi) }
}

function missing(host: Host, name: string): Call {
  return () => {
    host.notes.add(name.startsWith('sock_') ? 'NO_SOCKETS' : 'NO_SUCH_CALL', name)
    refuse(Errno.NOSYS)
  }
}

/** From what WebAssembly passes, signed numbers, to what a {@link Call} takes, and from refusals to errnos. */
function guarded(host: Host, call: Call): WasiFunction {
  const run = call as (...parameters: (number | bigint)[]) => void
  return (...parameters) => {
    host.memory.refresh()
    for (let i = 0; i < parameters.length; i++) {
      const value = parameters[i]
      parameters[i] = typeof value === 'number' ? value >>> 0 : BigInt.asUintN(64, value)
    }
    try {
      run(...parameters)
      return Errno.SUCCESS
    } catch (error) {
      if (error instanceof Refusal) return error.errno
      throw error
    }
  }
}
