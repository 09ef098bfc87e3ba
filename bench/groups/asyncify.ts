/** The same programs as binaryen's asyncify makes them: kept, because making them takes longer than measuring them. */

import { hash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keepFile, keptFile } from '../../tools/compile-c.ts'
import { runScript } from '../child.ts'
import type { Bench } from '../harness.ts'
import { type ProgramName, programs } from '../programs/catalog.ts'

/** Of a module that binaryen is asked to do: four megabytes take it minutes. */
const MODULE_BYTES_MAX = 2e6
/** Most are made in ten seconds; of Lua's interpreter loop it makes more code than it can optimise. */
const MAKING_MS_MAX = 120_000

/** @returns Path of the module; undefined where there is none, which has been said then. */
export async function asyncifiedModule(name: ProgramName, bench: Bench): Promise<string | undefined> {
  if (name === 'ruby') {
    bench.notMeasured('asyncify.ruby', 'the build is asyncified already')
    return undefined
  }
  const bytes = programs[name].module()
  if (bytes.length > MODULE_BYTES_MAX) {
    bench.notMeasured(`asyncify.${name}`, `binaryen takes minutes for a module of ${Math.round(bytes.length / 1e6)} MB`)
    return undefined
  }
  const script = new URL('./asyncify.child.ts', import.meta.url)
  const key = hash('sha256', Buffer.concat([bytes, readFileSync(script)]))
  const file = `${name}-asyncify-${key.slice(0, 16)}.wasm`
  const kept = keptFile(file)
  if (kept !== undefined) return kept
  const folder = mkdtempSync(join(tmpdir(), 'reprise-bench-'))
  try {
    const [source, target] = [join(folder, 'plain.wasm'), join(folder, 'asyncified.wasm')]
    bench.progress(`asyncify.${name}: made by binaryen`)
    writeFileSync(source, bytes)
    await runScript(script, [source, target], { timeoutMs: MAKING_MS_MAX })
    return keepFile(file, readFileSync(target))
  } catch (error) {
    if ((error as { killed?: boolean }).killed !== true) throw error
    bench.notMeasured(`asyncify.${name}`, `binaryen did not make it in ${MAKING_MS_MAX / 1000} s`)
    return undefined
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
