/** What going on costs: bringing a machine back from its snapshot, and repeating a run in parts. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeManifestBytes, PAGE_BYTES } from '../../packages/core/src/index.ts'
import { openBlobStore, type BlobStore } from '../../packages/runner/src/blobs/index.ts'
import { journalPath, readRun } from '../../packages/runner/src/journal/index.ts'
import { benchProgram } from '../../tools/compile-c.ts'
import { REPRISE, runJson, timeCommand } from '../child.ts'
import { type Bench, type Group, median } from '../harness.ts'
import { TemporaryHome } from '../home.ts'

const MEMORY_MB = [16, 128, 512]
/** Of the memory: the table comes to use all of it. */
const IN_USE = 0.9
const FRESH = [REPRISE, 'run', '--json', '--no-write-back', '-o', 'fresh.reprise', 'hash-table.wasm', '1']

/** Of `run` and `resume` alike. */
interface Prepared {
  readonly overhead: { readonly prepareMs: number }
}

/** How many bytes of memory the newest signed snapshot holds of the run that was begun since. */
async function savedBytes(home: TemporaryHome, store: BlobStore, before: ReadonlySet<string>): Promise<number> {
  const name = (await readdir(join(home.path, 'runs'))).find((each) => !before.has(each))
  const read = name === undefined ? undefined : await readRun(journalPath(home.path, name)).catch(() => undefined)
  const newest = read?.run?.snapshots.findLast(({ seq }) => seq <= (read.run?.signedSeq ?? -1))
  if (newest === undefined) return 0
  const { pages } = decodeManifestBytes(await store.read(newest.manifest))
  return pages.reduce((sum, [, count]) => sum + count * PAGE_BYTES, 0)
}

/**
 * Kills a run as soon as its memory is in use, and in a signed snapshot.
 *
 * @returns Nothing: `resume last` finds it.
 */
async function startAndStop(home: TemporaryHome, cwd: string, megabytes: number): Promise<void> {
  const words = [
    'run',
    '--no-write-back',
    '-o',
    'out.reprise',
    '--snapshot-ms',
    '100',
    '--checkpoint',
    'every=20000000',
  ]
  const store = await openBlobStore(home.path)
  const before = new Set(await readdir(join(home.path, 'runs')))
  const child = spawn(REPRISE, [...words, 'hash-table.wasm', '1000', String(megabytes)], {
    cwd,
    env: home.environment,
    stdio: 'ignore',
  })
  const ended = once(child, 'close')
  while ((await savedBytes(home, store, before)) < IN_USE * megabytes * (1 << 20)) {
    if (child.exitCode !== null) throw new Error('the program ended before it was stopped')
    await sleep(50)
  }
  child.kill('SIGKILL')
  await ended
}

/** How many milliseconds longer it takes until a machine stands where it was than until a fresh one stands, by memory. */
async function measureRestore(bench: Bench, home: TemporaryHome): Promise<void> {
  const points: { readonly megabytes: number; readonly ms: number }[] = []
  for (const megabytes of MEMORY_MB) {
    const cwd = join(home.folder, `memory-${megabytes}`)
    await mkdir(cwd)
    await writeFile(join(cwd, 'hash-table.wasm'), benchProgram('hash-table'))
    const [samples, shown]: [number[], number[]] = [[], []]
    // What is kept of the program is made once.
    await runJson<Prepared>([...FRESH, String(megabytes)], { cwd, env: home.environment })
    for (let i = 0; i < bench.pairs; i++) {
      bench.progress(`restore.${megabytes}Mb ${i + 1} of ${bench.pairs}`)
      bench.checkInterrupted()
      // First: the one to go on with is the last.
      const fresh = await runJson<Prepared>([...FRESH, String(megabytes)], { cwd, env: home.environment })
      await startAndStop(home, cwd, megabytes)
      const restored = await restoreOnce(home, cwd)
      samples.push(restored.prepareMs - fresh.overhead.prepareMs)
      shown.push(restored.shownMs)
    }
    bench.add({ name: `restore.${megabytes}Mb`, unit: 'ms', samples })
    bench.add({ name: `restore.shown.${megabytes}Mb`, unit: 'ms', samples: shown })
    points.push({ megabytes, ms: median(samples) })
  }
  const { slope, intercept } = line(points)
  bench.summary['restore.msPerMb'] = slope
  bench.summary['restore.interceptMs'] = intercept
}

/**
 * Goes on until it is interrupted: what it says then is how long it took to get ready. What it shows comes when all of the memory
 * is hashed.
 */
async function restoreOnce(
  home: TemporaryHome,
  cwd: string,
): Promise<{ readonly prepareMs: number; readonly shownMs: number }> {
  const startedMs = performance.now()
  let shownMs = 0
  const child = spawn(REPRISE, ['resume', '--json', '-o', 'out.reprise', 'last'], {
    cwd,
    env: home.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  // With --json the program's own lines come by stderr; what the command says of itself may come before it is ready.
  const goesOn = (chunk: string): void => {
    stderr += chunk
    if (!stderr.includes('round ')) return
    shownMs = performance.now() - startedMs
    // Once: a second one would end it without an answer.
    child.stderr.off('data', goesOn).resume()
    child.kill('SIGINT')
  }
  child.stderr.setEncoding('utf8').on('data', goesOn)
  await once(child, 'close')
  return { prepareMs: (JSON.parse(stdout) as Prepared).overhead.prepareMs, shownMs }
}

/** Least squares. */
function line(points: readonly { readonly megabytes: number; readonly ms: number }[]): {
  slope: number
  intercept: number
} {
  const mean = (of: (point: (typeof points)[number]) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [x, y] = [mean(({ megabytes }) => megabytes), mean(({ ms }) => ms)]
  const slope = mean(({ megabytes, ms }) => (megabytes - x) * (ms - y)) / mean(({ megabytes }) => (megabytes - x) ** 2)
  return { slope, intercept: y - slope * x }
}

/** Repeating a run of some seconds by its segments, to the run itself; both whole commands by wall time. */
async function measureSegments(bench: Bench, home: TemporaryHome): Promise<void> {
  const cwd = join(home.folder, 'segments')
  await mkdir(cwd)
  await writeFile(join(cwd, 'sha256.wasm'), benchProgram('sha256'))
  const options = { cwd, env: home.environment }
  const run = ['run', '--json', '--no-write-back', '-o', 'out.reprise', '--snapshot-ms', '500']
  await bench.figure({
    name: 'segments2',
    unit: 's',
    summary: { key: 'repeat.segments2.ratio', of: 'ratio' },
    async baseline() {
      const { overhead } = await runJson<{ overhead: { runMs: number } }>(
        [REPRISE, ...run, 'sha256.wasm', '60'],
        options,
      )
      return overhead.runMs / 1000
    },
    async subject() {
      const repeat = ['repeat', '--segments', 'all', '--jobs', '2', 'out.reprise']
      return (await timeCommand([REPRISE, ...repeat], options)).wallS
    },
  })
}

export const resume: Group = {
  name: 'resume',
  about: 'restoring a machine by the size of its memory; repetition by segments on two jobs to the run',
  async measure(bench) {
    if (bench.quick) return bench.notMeasured('restore', 'quick runs leave it out')
    await using home = await TemporaryHome.create()
    await measureRestore(bench, home)
    await measureSegments(bench, home)
  },
}
