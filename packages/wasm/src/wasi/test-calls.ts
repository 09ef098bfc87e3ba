/** For tests of many calls: a small host with a read-only mount and a read-only file, and all calls that there are. */
import { hex, utf8, type Sha256 } from '@reprise/core'
import { ABIS, type Abi } from './abi.ts'
import { createWasi, type SavedHost, type WasiHost } from './index.ts'
import { TestGuest } from './test-guest.ts'

export const FIXED = 'd/fixed'
export const NAMES: readonly string[] = ['a', 'b', 'd/c', 'd/input', FIXED]
export const INPUT: Uint8Array = new Uint8Array(9000).fill(1)
export const INPUTS = [
  { path: 'd/input', bytes: INPUT },
  { path: FIXED, bytes: INPUT, readOnly: true },
  { path: 'f/g/input', bytes: INPUT },
]

export interface Started {
  readonly wasi: WasiHost
  readonly guest: TestGuest
  /** What the host was told by the way. */
  readonly told: string[]
  readonly position: () => bigint
  /** Another host and guest, where this one stands. */
  readonly resume: () => Started
}

/** A host whose position counts the calls: at its start, or where another one was saved. */
export function start(
  sha256: Sha256,
  module: Abi['module'] = ABIS[0].module,
  from: { readonly saved?: SavedHost; readonly position: bigint; readonly memory?: ArrayBuffer } = { position: 0n },
): Started {
  let calls = from.position
  const told: string[] = []
  const wasi = createWasi({
    arguments: ['p'],
    environment: [],
    stdin: utf8('in'),
    mounts: [
      { at: '/', writable: true, output: true, files: INPUTS },
      { at: '/ro', writable: false, output: false, files: [{ path: 'x', bytes: INPUT }] },
      { at: '/tmp', writable: true, output: false, files: [] },
    ],
    clockStartNs: 0n,
    seed: 1n,
    position: () => calls,
    // Keeps a file that a random call makes huge from being hashed.
    limits: { contentBytes: 1 << 20, inodes: 1000 },
    sha256,
    onStream: (stream, bytes) => told.push(`${stream} ${bytes.length}`),
    onOutputClosed: (path) => told.push(path),
    saved: from.saved,
  })
  const guest = new TestGuest(
    (name, ...parameters) => {
      calls++
      return wasi.function(module, name)?.(...parameters) ?? -1
    },
    undefined,
    module,
  )
  if (from.memory !== undefined) guest.put(0, new Uint8Array(from.memory))
  wasi.bind(guest.memory)
  const resume = () => start(sha256, module, { saved: wasi.save(), position: calls, memory: guest.memory.buffer })
  return { wasi, guest, told, position: () => calls, resume }
}

/** Of every call: i is i32, I is i64. */
export const CALLS: readonly (readonly [name: string, parameters: string])[] = [
  ['args_get', 'ii'],
  ['args_sizes_get', 'ii'],
  ['environ_get', 'ii'],
  ['environ_sizes_get', 'ii'],
  ['clock_res_get', 'ii'],
  ['clock_time_get', 'iIi'],
  ['fd_advise', 'iIIi'],
  ['fd_allocate', 'iII'],
  ['fd_close', 'i'],
  ['fd_datasync', 'i'],
  ['fd_fdstat_get', 'ii'],
  ['fd_fdstat_set_flags', 'ii'],
  ['fd_fdstat_set_rights', 'iII'],
  ['fd_filestat_get', 'ii'],
  ['fd_filestat_set_size', 'iI'],
  ['fd_filestat_set_times', 'iIIi'],
  ['fd_pread', 'iiiIi'],
  ['fd_prestat_get', 'ii'],
  ['fd_prestat_dir_name', 'iii'],
  ['fd_pwrite', 'iiiIi'],
  ['fd_read', 'iiii'],
  ['fd_readdir', 'iiiIi'],
  ['fd_renumber', 'ii'],
  ['fd_seek', 'iIii'],
  ['fd_sync', 'i'],
  ['fd_tell', 'ii'],
  ['fd_write', 'iiii'],
  ['path_create_directory', 'iii'],
  ['path_filestat_get', 'iiiii'],
  ['path_filestat_set_times', 'iiiiIIi'],
  ['path_link', 'iiiiiii'],
  ['path_open', 'iiiiiIIii'],
  ['path_readlink', 'iiiiii'],
  ['path_remove_directory', 'iii'],
  ['path_rename', 'iiiiii'],
  ['path_symlink', 'iiiii'],
  ['path_unlink_file', 'iii'],
  ['poll_oneoff', 'iiii'],
  ['random_get', 'ii'],
  ['sched_yield', ''],
  ['sock_accept', 'iii'],
  ['sock_recv', 'iiiiii'],
  ['sock_send', 'iiiii'],
  ['sock_shutdown', 'ii'],
]

/** To compare what two hosts are saved as. */
export function textOf({ bytes, contents }: SavedHost): string {
  return [bytes, ...contents].map(hex).join(' ')
}

/** A memory in which addresses are likely to mean something: paths, and regions and subscriptions at 64. */
export function prepare(guest: TestGuest): void {
  new Uint8Array(guest.memory.buffer).fill(0)
  guest.put(1024, utf8('d/input\0../a'))
  guest.put(2048, utf8('a/b'))
  guest.view.setUint32(64, 1024, true)
  guest.view.setUint32(68, 3, true)
}
