/** What it costs to verify: one long record, and many short ones. Baseline: the same cryptography, bare. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { REPRISE, runScript, timeCommand } from '../child.ts'
import type { Bench, Group } from '../harness.ts'
import { syntheticRecord } from '../synthetic-record.ts'
import type { ChildAnswer } from './verify.child.ts'

const CHECKPOINTS = 100_000
const ATTESTATIONS = 1000
/** As the command does it on a small machine. */
const JOBS = 2
/** A checkpoint costs two hashes: its leaf and the link. */
const HASHES = 2 * CHECKPOINTS

const child = (...args: string[]): Promise<ChildAnswer> =>
  runScript(new URL('./verify.child.ts', import.meta.url), args)

async function measureLong(bench: Bench, folder: string): Promise<void> {
  const path = join(folder, 'long.reprise')
  await writeFile(path, await syntheticRecord({ checkpoints: CHECKPOINTS, attestations: ATTESTATIONS, run: 0 }))
  const peaks: number[] = []
  await bench.figure({
    name: '100k.seconds',
    unit: 's',
    summary: { key: 'verify.100k.nodeS', of: 'value' },
    async subject() {
      const { seconds, peakMb } = await child('verify', path)
      peaks.push(peakMb)
      return seconds
    },
    baseline: async () => (await child('raw', String(ATTESTATIONS), String(HASHES))).seconds,
  })
  bench.add({ name: '100k.peakMb', unit: 'MiB', samples: peaks.slice(1) })
}

async function measureMany(bench: Bench, folder: string): Promise<void> {
  const records = bench.quick ? 400 : 4000
  const some = records / 4
  const attestations = 10
  const paths: string[] = []
  for (let run = 1; run <= records; run++) {
    const path = join(folder, `${run}.reprise`)
    await writeFile(path, await syntheticRecord({ checkpoints: attestations, attestations, run }))
    paths.push(path)
  }
  // As a reader has it, with the start of the command and of its threads.
  const verified = async (count: number, jobs: number): Promise<number> => {
    const words = [REPRISE, 'verify', '--jobs', String(jobs), ...paths.slice(0, count)]
    const { wallS } = await timeCommand(words, { cwd: folder })
    return (count * attestations) / wallS
  }
  const raw = async (count: number): Promise<number> =>
    (count * attestations) / (await child('raw', String(count * attestations), '0')).seconds
  // The command takes what threads there are; what node:crypto verifies in a second, it verifies in one.
  const figures = [
    { name: 'many', key: 'verify.many.ratio', count: records, jobs: JOBS },
    { name: 'some', key: 'verify.some.ratio', count: some, jobs: JOBS },
    { name: 'one-thread', key: 'verify.some.oneThread.ratio', count: some, jobs: 1 },
  ]
  for (const { name, key, count, jobs } of figures)
    await bench.figure({
      name: `${name}.perS`,
      unit: 'signatures/s',
      summary: { key, of: 'ratio' },
      subject: () => verified(count, jobs),
      baseline: () => raw(count),
    })
}

export const verify: Group = {
  name: 'verify',
  about:
    'verify 100,000 checkpoints with 1,000 attestations, and 4,000 records of ten attestations, then 1,000 of them',
  async measure(bench) {
    const folder = await mkdtemp(join(tmpdir(), 'reprise-bench-'))
    try {
      await measureLong(bench, folder)
      await measureMany(bench, folder)
    } finally {
      await rm(folder, { recursive: true })
    }
  },
}
