/** The names of a warm start. Nothing of them is in the file tree, nor in a state. Format: spec/wasi-host.md §14. */
import { ByteWriter, utf8 } from '@reprise/core'
import { Errno, refuse } from './abi.ts'
import type { Host } from './calls.ts'
import type { Directory } from './inode.ts'

/** Of the strings, in one link: less than any guest's buffer for a path. */
const PIECE_BYTES = 1024
const WARM = 'dev/reprise/warm'
const PIECE = /^dev\/reprise\/(arguments|environment)\/(0|[1-9][0-9]{0,15})$/

/**
 * @returns What answers by directory and path: the target of one of these links; undefined for a path that is none. It
 *   throws the refusal NOENT for one that leads nowhere.
 */
export function startLinks({ options }: Host): (directory: Directory, path: string) => Uint8Array | undefined {
  const { start } = options
  const strings = {
    arguments: lazy(() => joined(options.arguments)),
    environment: lazy(() => joined(options.environment.map(([name, value]) => `${name}=${value}`))),
  }
  return ({ root, mount }, path) => {
    if (start?.kind !== 'warm' || !root || mount.index !== 0) return undefined
    const [, what, index] = PIECE.exec(path) ?? []
    if (what === undefined) return undefined
    const from = PIECE_BYTES * Number(index)
    const piece = strings[what as keyof typeof strings]().subarray(from, from + PIECE_BYTES)
    return piece.length === 0 ? refuse(Errno.NOENT) : piece
  }
}

/** A look at this name is how the guest of a warm-up says that it is warm. Nothing is there. */
export function tellWarm({ options: { start } }: Host, { root, mount }: Directory, path: string): void {
  if (start?.kind === 'warm-up' && root && mount.index === 0 && path === WARM) start.onWarm()
}

/** Each with a zero byte behind it. */
function joined(strings: readonly string[]): Uint8Array {
  const bytes = new ByteWriter()
  for (const text of strings) bytes.raw(utf8(text)).u8(0)
  return bytes.done()
}

function lazy<T>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}
