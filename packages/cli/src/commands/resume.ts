/** `reprise resume`: on with a run after a crash, inside the same proof. */
import { resolve } from 'node:path'
import { findRun, noteOutputs, resume, type AttachLevel, type KeepSnapshots } from '@reprise/runner'
import { createContext, openSigner, openStore } from '../context.ts'
import { advise } from '../print/format.ts'
import { runProgress } from '../print/run-progress.ts'
import { exitCode, freeRecordPath, printRunResult, runAnswer } from '../print/run-result.ts'
import { streamWriter } from '../print/streams.ts'
import { writeOutputs } from '../write-outputs.ts'

interface ResumeOptions {
  readonly output?: string
  readonly attach: AttachLevel
  readonly maxLagMs?: number
  readonly snapshotMs?: number
  readonly keepSnapshots?: KeepSnapshots
  readonly json?: boolean
}

export async function action(options: object, [name = '']: readonly string[]): Promise<number> {
  const { output, attach, maxLagMs, snapshotMs, keepSnapshots, json = false } = options as ResumeOptions
  const context = createContext()
  const store = await openStore(context)
  const run = await findRun(context.home, name)
  const progress = runProgress()
  const onTrouble = (message: string): void => {
    progress.clear()
    advise(message)
  }
  await using signer = openSigner(context, onTrouble)
  const result = await resume({
    run,
    store,
    home: context.home,
    signer: signer.ready,
    recordPath: output === undefined ? freeRecordPath(run.slice(0, 8)) : resolve(output),
    attach,
    ...(maxLagMs !== undefined && { maxLagMs }),
    ...(keepSnapshots !== undefined && { keepSnapshots }),
    ...(snapshotMs !== undefined && { snapshotMs }),
    signal: context.signal,
    onStream: streamWriter({ stdout: json ? process.stderr : process.stdout, beforeWrite: progress.clear }),
    onProgress: progress.show,
    onTrouble,
  }).finally(progress.clear)
  const written = await writeOutputs(result, { store, folder: process.cwd() })
  if (result.outcome !== undefined) {
    const digests = result.outcome.outputs.map(({ sha256 }) => sha256)
    await noteOutputs(context.home, result.run, digests)
  }
  if (json) process.stdout.write(`${JSON.stringify(runAnswer(result))}\n`)
  else printRunResult(result, written)
  return exitCode(result)
}
