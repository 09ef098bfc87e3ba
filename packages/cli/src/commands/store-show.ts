/** `reprise store show`: what takes how much of the disk, and for what. */
import { storeSizes, type BlobSizes, type StoreSizes } from '@reprise/runner'
import { createContext, openStore } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { bytes, count } from '../print/format.ts'

/** Runs in the table; `--json` has all of them. */
const RUNS_MAX = 20

export async function action(options: object): Promise<number> {
  const { json = false } = options as { readonly json?: boolean }
  const context = createContext()
  const sizes = await storeSizes(context.home, await openStore(context))
  if (json) {
    process.stdout.write(`${JSON.stringify({ schema: 'reprise/store-result/v1', home: context.home, ...sizes })}\n`)
  } else print(context.home, sizes)
  return EXIT_YES
}

function print(home: string, sizes: StoreSizes): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  const { inputs, outputs, snapshots, inUse, unneeded, runs, cache, temporaries } = sizes
  line(`${bytes(sizes.storedBytes)} on disk   ${home}`)
  const rows: readonly (readonly [string, BlobSizes])[] = [
    ['inputs', inputs],
    ['outputs', outputs],
    ['snapshots', snapshots],
    ...(inUse.blobs > 0 ? [['in use now', inUse] as const] : []),
    ['not needed', unneeded],
  ]
  for (const [name, size] of rows) line(`  ${name.padEnd(12)} ${sizeOf(size)}`)
  line(
    `  ${'cache'.padEnd(12)} ${bytes(cache.storedBytes).padStart(9)}   ${count(cache.files, 'file')}; may be deleted`,
  )
  if (temporaries.files > 0)
    line(
      `  ${'unfinished'.padEnd(12)} ${bytes(temporaries.storedBytes).padStart(9)}   ${count(temporaries.files, 'file')}`,
    )
  if (runs.length > 0) line(`  of ${count(runs.length, 'run')}, the newest first:`)
  for (const run of runs.slice(0, RUNS_MAX))
    line(
      `    ${run.run.slice(0, 8)}  ${run.writtenAt.slice(0, 16)}Z  ${run.state.padEnd(9)}  ${count(run.snapshots, 'snapshot').padEnd(13)} ${sizeOf(run)}`,
    )
  if (runs.length > RUNS_MAX) line(`    and ${runs.length - RUNS_MAX} more`)
  if (unneeded.blobs > 0 || temporaries.files > 0) line('  next: reprise store gc')
}

function sizeOf({ blobs, plainBytes, storedBytes }: BlobSizes): string {
  return `${bytes(storedBytes).padStart(9)}   ${count(blobs, 'blob')} of ${bytes(plainBytes)}`
}
