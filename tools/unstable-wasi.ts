/**
 * Runs a tool of `wasi_unstable` in a folder, under node:wasi, and ends with its code.
 * As a script: node tools/unstable-wasi.ts MODULE.wasm FOLDER NAME [ARGS...]
 */

import { readFileSync } from 'node:fs'
import { WASI } from 'node:wasi'

/**
 * node:wasi for modules of the older `wasi_unstable`: other numbers in fd_seek, smaller file attributes.
 *
 * Source: wasi_unstable.witx and wasi_snapshot_preview1.witx, `whence` and `filestat`.
 */
function unstableWasi(
  args: string[],
  root: string,
): { imports: Record<string, WebAssembly.ModuleImports>; start: (instance: WebAssembly.Instance) => number } {
  // uvwasi answers EINVAL to environ_get when there are no variables.
  const wasi = new WASI({ version: 'unstable', args, env: { LANG: 'C' }, preopens: { '/': root }, returnOnExit: true })
  let memory = new WebAssembly.Memory({ initial: 0 })
  const host = wasi.wasiImport as Record<string, (...values: unknown[]) => number>
  const smallAttributes =
    (name: string) =>
    (...values: unknown[]): number => {
      const at = (values.at(-1) as number) >>> 0
      const after = new Uint8Array(memory.buffer).slice(at + 56, at + 64)
      const result = host[name](...values)
      const bytes = new Uint8Array(memory.buffer)
      const view = new DataView(memory.buffer)
      if (result === 0) {
        view.setUint32(at + 20, Number(view.getBigUint64(at + 24, true)), true)
        bytes.copyWithin(at + 24, at + 32, at + 64)
      }
      bytes.set(after, at + 56)
      return result
    }
  const adapted = {
    ...host,
    fd_seek: (fd: unknown, offset: unknown, whence: number, result: unknown) =>
      host['fd_seek'](fd, offset, (whence + 1) % 3, result),
    fd_filestat_get: smallAttributes('fd_filestat_get'),
    path_filestat_get: smallAttributes('path_filestat_get'),
  }
  const start = (instance: WebAssembly.Instance): number => {
    memory = instance.exports['memory'] as WebAssembly.Memory
    return wasi.start(instance)
  }
  return { imports: { wasi_unstable: adapted }, start }
}

if (import.meta.main) {
  const [module, root, ...args] = process.argv.slice(2)
  const { imports, start } = unstableWasi(args, root)
  process.exitCode = start(new WebAssembly.Instance(new WebAssembly.Module(readFileSync(module)), imports))
}
