/** `reprise run`: the program as it is, and its record. */
import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import {
  defineCommand,
  followedRuns,
  noteOutputs,
  recipeNames,
  run,
  warmRootOf,
  type AttachLevel,
  type KeepSnapshots,
  type Flags,
} from '@reprise/runner'
import { createContext, openSigner, openStore } from '../context.ts'
import { advise } from '../print/format.ts'
import { exitCode, freeRecordPath, printRunResult, runAnswer } from '../print/run-result.ts'
import { standingOf } from '../print/tier.ts'
import { runProgress } from '../print/run-progress.ts'
import { streamWriter } from '../print/streams.ts'
import { recipesFolder } from '../repository.ts'
import { writeOutputs } from '../write-outputs.ts'

interface RunOptions extends Flags {
  readonly output?: string
  readonly attach: AttachLevel
  readonly maxLagMs?: number
  readonly snapshotMs?: number
  readonly keepSnapshots?: KeepSnapshots
  readonly snapshots?: boolean
  readonly writeBack: boolean
  readonly json?: boolean
}

export async function action(options: object, command: readonly string[]): Promise<number> {
  const {
    output,
    attach,
    maxLagMs,
    snapshotMs,
    keepSnapshots,
    snapshots,
    json = false,
    writeBack: wantsWriteBack,
    ...flags
  } = options as RunOptions
  const context = createContext()
  const store = await openStore(context)
  store.begin()
  let isFirst = false
  const progress = runProgress()
  const onTrouble = (message: string): void => {
    progress.clear()
    advise(message)
  }
  const defining = defineCommand(
    { command, flags, ...(output !== undefined && { recordPath: resolve(output) }) },
    {
      store,
      home: context.home,
      folder: process.cwd(),
      // Only where it is read is it loaded: that takes milliseconds.
      stdin: { [Symbol.asyncIterator]: () => process.stdin[Symbol.asyncIterator]() },
      now: () => BigInt(Date.now()) * 1_000_000n,
      random: (lengthBytes) => randomBytes(lengthBytes),
      recipes: () => recipeNames(recipesFolder()),
      warmRoot: (warmUp, title) =>
        warmRootOf(warmUp, {
          store,
          home: context.home,
          onMake: () => {
            isFirst = true
            advise(`making the warm start of ${title}, once on this machine`)
          },
        }),
    },
  )
  await using signer = openSigner(context, onTrouble, defining)
  const definition = await defining
  const { runtime } = definition
  if (runtime?.id !== undefined) advise(`with ${runtime.title}, runtime ${runtime.id.slice(0, 12)}`)
  else if (isFirst && (await recipeNames(recipesFolder())).includes(runtime?.name ?? ''))
    advise(`one that is about four times as fast: reprise runtime build ${runtime?.name}`)
  for (const line of definition.advice) advise(line)
  const result = await run({
    computation: definition.computation,
    store,
    home: context.home,
    signer: signer.ready,
    recordPath: output === undefined ? freeRecordPath(definition.program.stem) : resolve(output),
    attach,
    ...(maxLagMs !== undefined && { maxLagMs }),
    ...(keepSnapshots !== undefined && { keepSnapshots }),
    ...(snapshots ? snapshotMs !== undefined && { snapshotMs } : { snapshotMs: null }),
    follows: await followedRuns(context.home, definition.inputs),
    signal: context.signal,
    // With --json, stdout belongs to the answer.
    onStream: streamWriter({ stdout: json ? process.stderr : process.stdout, beforeWrite: progress.giveWay }),
    onProgress: progress.show,
    onTrouble,
  }).finally(progress.clear)
  if (result.outcome !== undefined) {
    const digests = result.outcome.outputs.map(({ sha256 }) => sha256)
    await noteOutputs(context.home, result.run, digests)
  }
  const standing = await standingOf(result.host)
  const written = wantsWriteBack
    ? await writeOutputs(result, { store, folder: definition.workingFolder.path }).catch((error: unknown) => {
        // The run itself has ended well, and its record is there.
        if (!json) printRunResult(result, standing, undefined)
        throw error
      })
    : undefined
  if (json) process.stdout.write(`${JSON.stringify(runAnswer(result, standing))}\n`)
  else printRunResult(result, standing, written)
  return exitCode(result)
}
