/**
 * Telling of every host call: what it was asked, what it answered, and where it wrote. Two executions of one module are
 * the same up to the first call that answers differently, so this finds where another input came in.
 */
import type { WasiFunction } from './host.ts'
import type { Host } from './calls.ts'
import type { Region } from './memory.ts'
import { outputPath } from './outputs.ts'

export interface HostCall {
  readonly name: string
  /** Unsigned: i32 as number, i64 as bigint. */
  readonly parameters: readonly (number | bigint)[]
  readonly errno: number
  /** Where it wrote into the guest's memory, in order; what it read into may be shorter. */
  readonly written: readonly Region[]
  /** What a call on a descriptor or a path is about; undefined for the others. */
  readonly subject: () => CallSubject | undefined
}

export interface CallSubject {
  /** As among the outputs: relative in the first mount, else absolute; `/dev/stdin`. As the guest names it, for a path that it gives. */
  readonly path: string
  /** In bytes, before the call; for calls on open files. */
  readonly offset?: number
}

/** Where the calls that take a path have it: the number of the parameter that points to it; its length is the next. */
const PATH_PARAMETER: Readonly<Record<string, number>> = {
  path_create_directory: 1,
  path_filestat_get: 2,
  path_filestat_set_times: 2,
  path_link: 2,
  path_open: 2,
  path_readlink: 1,
  path_remove_directory: 1,
  path_rename: 1,
  path_symlink: 0,
  path_unlink_file: 1,
}

interface Traced {
  readonly name: string
  readonly call: WasiFunction
  readonly onCall: (call: HostCall) => void
}

/** A call that tells of itself; one that ends the guest (`proc_exit`) too. */
export function traced(host: Host, { name, call, onCall }: Traced): WasiFunction {
  host.memory.watch()
  return (...passed) => {
    const parameters = passed.map((value) => (typeof value === 'number' ? value >>> 0 : BigInt.asUintN(64, value)))
    const subject = subjectOf(host, name, parameters)
    let errno = 0
    try {
      return (errno = call(...passed))
    } finally {
      onCall({ name, parameters, errno, written: host.memory.takeWritten(), subject })
    }
  }
}

/** What is fleeting is taken before the call, what costs is left until somebody asks. */
function subjectOf(host: Host, name: string, parameters: readonly (number | bigint)[]): () => CallSubject | undefined {
  if (name.startsWith('fd_')) return descriptorSubject(host, name, parameters)
  const at = PATH_PARAMETER[name]
  if (at === undefined) return () => undefined
  return () => {
    try {
      return { path: host.memory.text(Number(parameters[at]), Number(parameters[at + 1]), host.limits.pathBytes) }
    } catch {
      return undefined
    }
  }
}

function descriptorSubject(
  host: Host,
  name: string,
  parameters: readonly (number | bigint)[],
): () => CallSubject | undefined {
  const descriptor = host.descriptors.find(Number(parameters[0]))
  if (descriptor === undefined) return () => undefined
  const { inode } = descriptor
  const offset = name === 'fd_pread' || name === 'fd_pwrite' ? Number(parameters[3]) : undefined
  switch (inode.kind) {
    case 'stream': {
      const at = inode.name === 'stdin' ? host.stdin.offset : inode.content.lengthBytes
      return () => ({ path: `/dev/${inode.name}`, offset: at })
    }
    case 'file': {
      const at = offset ?? descriptor.offset
      return () => {
        const path = host.tree.pathOf(inode) ?? inode.inputPath
        return path === undefined ? undefined : { path: outputPath(inode.mount, path), offset: at }
      }
    }
    case 'directory':
      return () => {
        const path = host.tree.pathOf(inode)
        return path === undefined ? undefined : { path: outputPath(inode.mount, path) }
      }
    case 'null':
      return () => ({ path: '/dev/null' })
    case 'symlink':
      return () => undefined
  }
}
