/**
 * Runs the program that writes to a large memory once, in a machine that is measured like a run's, and says how long
 * it stood still. Measured by stall.ts.
 *
 *     stall.child.ts auto|kernel|compare MIB WRITES ROUNDS FUEL     FUEL lies between checkpoints
 */

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Computation } from '@reprise/core'
import { openBlobStore } from '../../packages/runner/src/blobs/index.ts'
import type { DirtyPagesChoice } from '../../packages/runner/src/dirty-pages/index.ts'
import { startWasmMachine } from '../../packages/runner/src/machine/index.ts'
import { blobPaths } from '../../packages/runner/src/run/prepare.ts'
import { compiledProgram } from '../../tools/compile-c.ts'

export interface StallAnswer {
  /** At each of the last checkpoints; before them the memory is filled. */
  readonly stallMs: readonly number[]
  /** CPU time between the first and the last of them, of all threads and without the scanner's. */
  readonly cpuS: number
}

const CHECKPOINTS = 10

const [choice, mib, writes, rounds, fuel] = process.argv.slice(2)
const home = await mkdtemp(join(tmpdir(), 'reprise-stall-'))
try {
  process.stdout.write(JSON.stringify(await measure()))
} finally {
  await rm(home, { recursive: true, force: true })
}

async function measure(): Promise<StallAnswer> {
  const store = await openBlobStore(home)
  const source = join(import.meta.dirname, '..', 'programs', 'large-memory.c')
  const [program, stdin] = await store.putAll([await readFile(compiledProgram(source)), new Uint8Array()])
  const computation: Computation = {
    schema: 'reprise/computation/v1',
    semantics: 'wasm/1',
    program,
    arguments: ['large-memory', mib, rounds, writes, '0', 'touch'],
    environment: {},
    stdin,
    mounts: [{ at: '/', output: true, source: { kind: 'files', files: [] }, writable: true }],
    clock: '0',
    seed: '0',
    floats: 'host',
    limits: { memoryPages: 65_536, stackSlots: 1 << 16 },
    checkpoints: { kind: 'none' },
    success: [],
  }
  const dirtyPages = choice as DirtyPagesChoice
  await using machine = await startWasmMachine({ computation, blobs: blobPaths(computation, store), home, dirtyPages })
  const seen: { readonly cpuS: number; readonly stalledMs: number }[] = []
  for (let due = BigInt(fuel); ;) {
    const stop = await machine.runTo(due)
    if (stop.kind !== 'due') break
    // Awaited, so that no checkpoint waits for the hashing of the one before: a run's lie further apart.
    await machine.measure()
    const { user, system } = process.cpuUsage()
    seen.push({ cpuS: (user + system) / 1e6, stalledMs: machine.progress().measureMs })
    due = stop.position + BigInt(fuel)
  }
  const last = seen.slice(-CHECKPOINTS - 1)
  if (last.length <= CHECKPOINTS) throw new Error(`the program ended after ${seen.length} checkpoints`)
  return {
    stallMs: last.slice(1).map(({ stalledMs }, i) => stalledMs - last[i].stalledMs),
    cpuS: last[CHECKPOINTS].cpuS - last[0].cpuS,
  }
}
