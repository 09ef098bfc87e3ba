/** Where `/dev/null` is. Format: spec/wasi-host.md §15. */
import type { Host } from './calls.ts'
import type { Directory, NullDevice } from './inode.ts'

const PATH = 'dev/null'

/** @returns The device when the path in this directory leads to it: undefined for another path, and where the guest has a `dev/null` of its own. */
export function nullDeviceAt({ tree }: Host, directory: Directory, path: string): NullDevice | undefined {
  if (path !== PATH || !directory.root || directory.mount.index !== 0) return undefined
  const folder = directory.entries.get('dev')
  const isFree = folder === undefined || (folder.kind === 'directory' && !folder.entries.has('null'))
  return isFree ? tree.nullDevice : undefined
}
