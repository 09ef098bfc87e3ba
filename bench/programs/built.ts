/** A script in a runtime that was built, as a program of the catalog is: for measurements inside one process. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type InstalledRuntime, LIBRARY_FILE, MODULE_FILE } from '../../packages/runner/src/runtimes/index.ts'
import { readTar, type WasiMount } from '@reprise/wasm'
import { source, type Program } from './catalog.ts'

/**
 * @param runtime - Not held against its digests.
 * @param script - A file beside this one, whose argument is how many rounds of each of its benchmarks it does.
 */
export function builtProgram(
  { folder, manifest: { run, library } }: Pick<InstalledRuntime, 'folder' | 'manifest'>,
  script: string,
): Pick<Program, 'module' | 'work'> {
  const libraries = (): readonly WasiMount[] => {
    if (library === null) return []
    const archive = gunzipSync(readFileSync(join(folder, LIBRARY_FILE)))
    return [{ at: run.libraryAt, writable: false, output: false, files: readTar(archive) }]
  }
  return {
    module: () => new Uint8Array(readFileSync(join(folder, MODULE_FILE))),
    work: (rounds) => ({
      arguments: [...run.arguments, script, String(rounds)],
      environment: Object.entries(run.environment),
      mounts: [{ at: '/', writable: true, output: true, files: [source(script)] }, ...libraries()],
      command: [],
      files: [],
    }),
  }
}
