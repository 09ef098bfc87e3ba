/** `reprise store gc`: deletes what nothing needs, and runs that are not wanted any more. */
import { collect, planCollection, type CollectionPlan } from '@reprise/runner'
import { createContext, openStore } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { bytes, count } from '../print/format.ts'

interface GcOptions {
  readonly yes?: boolean
  readonly keepRuns?: number
  readonly olderThan?: number
  readonly json?: boolean
}

const DAY_MS = 24 * 3600 * 1000

export async function action(options: object): Promise<number> {
  const { yes = false, keepRuns, olderThan, json = false } = options as GcOptions
  const context = createContext()
  const store = await openStore(context)
  const nowMs = Date.now()
  const endedBeforeMs = olderThan === undefined ? undefined : nowMs - olderThan * DAY_MS
  const request = { home: context.home, store, policy: { keepRuns, endedBeforeMs }, nowMs }
  const plan = await (yes ? collect(request) : planCollection(request))
  if (json) process.stdout.write(`${JSON.stringify(answer(plan, yes, context.home))}\n`)
  else print(plan, yes)
  return EXIT_YES
}

function answer({ runs, blobs, temporaries, storedBytes }: CollectionPlan, isDeleted: boolean, home: string): object {
  return {
    schema: 'reprise/store-gc-result/v1',
    home,
    deleted: isDeleted,
    runs: runs.map(({ run, state, writtenAtMs }) => ({ run, state, writtenAt: new Date(writtenAtMs).toISOString() })),
    blobs: blobs.length,
    temporaries: temporaries.length,
    storedBytes,
  }
}

function print({ runs, blobs, temporaries, storedBytes }: CollectionPlan, isDeleted: boolean): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  const isNothing = runs.length + blobs.length + temporaries.length === 0
  if (isNothing) return line('nothing to delete: all that is there is needed')
  line(`${isDeleted ? 'deleted' : 'would delete'} ${bytes(storedBytes)}`)
  for (const { run, state, writtenAtMs } of runs)
    line(`  run ${run.slice(0, 8)}  ${new Date(writtenAtMs).toISOString().slice(0, 16)}Z  ${state}; its record stays`)
  line(`  ${count(blobs.length, 'blob')} that ${runs.length > 0 ? 'then ' : ''}nothing needs`)
  if (temporaries.length > 0) line(`  ${count(temporaries.length, 'file')} that somebody began and did not end`)
  if (!isDeleted) line('  nothing was deleted yet: add --yes')
}
