/** `reprise run`: the program as it is, and its record. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import {
  defineCommand,
  followedRuns,
  noteOutputs,
  run,
  writeBack,
  type AttachLevel,
  type BlobStore,
  type Definition,
  type Flags,
  type RunResult,
  type WriteBackResult,
} from '@reprise/runner'
import { createContext, openSigner, openStore } from '../context.ts'
import { EXIT_INTERRUPTED, EXIT_TRAPPED } from '../exit.ts'
import { advise, count, paint, safe, shortPath, short } from '../print/format.ts'
import { runProgress } from '../print/run-progress.ts'
import { streamWriter } from '../print/streams.ts'
import { ownTier, weakestLink } from '../print/tier.ts'

interface RunOptions extends Flags {
  readonly output?: string
  readonly attach: AttachLevel
  readonly maxLagMs?: number
  readonly writeBack: boolean
  readonly json?: boolean
}

export async function action(options: object, command: readonly string[]): Promise<number> {
  const { output, attach, maxLagMs, writeBack: wantsWriteBack, json = false, ...flags } = options as RunOptions
  const context = createContext()
  const store = await openStore(context)
  const definition = await defineCommand(
    { command, flags, ...(output !== undefined && { recordPath: resolve(output) }) },
    {
      store,
      home: context.home,
      folder: process.cwd(),
      stdin: process.stdin,
      now: () => BigInt(Date.now()) * 1_000_000n,
      random: (lengthBytes) => randomBytes(lengthBytes),
    },
  )
  for (const line of definition.advice) advise(line)
  const progress = runProgress()
  const onTrouble = (message: string): void => {
    progress.clear()
    advise(message)
  }
  await using signer = openSigner(context, onTrouble)
  const result = await run({
    computation: definition.computation,
    store,
    home: context.home,
    signer: signer.ready,
    recordPath: output === undefined ? freeRecordPath(definition.program.stem) : resolve(output),
    attach,
    ...(maxLagMs !== undefined && { maxLagMs }),
    follows: await followedRuns(context.home, definition.inputs),
    signal: context.signal,
    // With --json, stdout belongs to the answer.
    onStream: streamWriter({ stdout: json ? process.stderr : process.stdout, beforeWrite: progress.clear }),
    onProgress: progress.show,
    onTrouble,
  }).finally(progress.clear)
  if (result.outcome !== undefined) {
    const digests = result.outcome.outputs.map(({ sha256 }) => sha256)
    await noteOutputs(context.home, result.run, digests)
  }
  const written = wantsWriteBack
    ? await writeOutputs(definition, result, store).catch((error: unknown) => {
        // The run itself has ended well, and its record is there.
        if (!json) printResult(result, undefined)
        throw error
      })
    : undefined
  if (json) process.stdout.write(`${JSON.stringify(answer(result))}\n`)
  else printResult(result, written)
  return exitCode(result)
}

/** `analysis.reprise`, or the first of `analysis-2.reprise`, … that is free: evidence is never written over unasked. */
function freeRecordPath(stem: string): string {
  for (let n = 1; ; n++) {
    const path = resolve(n === 1 ? `${stem}.reprise` : `${stem}-${n}.reprise`)
    if (!existsSync(path)) return path
  }
}

async function writeOutputs(
  definition: Definition,
  result: RunResult,
  store: BlobStore,
): Promise<WriteBackResult | undefined> {
  if (result.outcome === undefined) return undefined
  const files = result.outcome.outputs.filter(({ path }) => !path.startsWith('/dev/'))
  return await writeBack({
    folder: definition.workingFolder.path,
    started: definition.workingFolder.files,
    outputs: files.map(({ path, sha256, length }) => ({
      path,
      sha256,
      lengthBytes: length,
      open: () => store.stream(sha256),
    })),
  })
}

function exitCode({ outcome }: RunResult): number {
  if (outcome === undefined) return EXIT_INTERRUPTED
  return 'code' in outcome.exit ? outcome.exit.code & 0xff : EXIT_TRAPPED
}

function answer(result: RunResult): object {
  return {
    schema: 'reprise/run-result/v1',
    run: result.run,
    computation: result.computation,
    record: result.recordPath,
    exit: result.outcome?.exit ?? null,
    checkpoints: result.checkpoints.length,
    snapshots: 0,
    attestations: result.attestations,
    signedCheckpoints: result.signedSeq + 1,
    cumulative: result.cumulative,
    outputs: (result.outcome?.outputs ?? []).map(({ path, length, sha256 }) => ({ path, length, sha256 })),
    follows: result.follows,
    removed: result.removed,
    notes: result.notes,
    tier: ownTier(result.host),
    overhead: { ...result.overhead, snapshotMs: 0 },
  }
}

function printResult(result: RunResult, written: WriteBackResult | undefined): void {
  const { stderr } = process
  const line = (text: string): void => void stderr.write(`${text}\n`)
  const { outcome } = result
  line(
    `${paint('bold', headline(result), stderr)}   ${safe(shortPath(result.recordPath))}   ${short(result.cumulative)}`,
  )
  line(`  ${weakestLink(ownTier(result.host), 'self')}`)
  line(`  ${count(result.checkpoints.length, 'checkpoint')}, ${count(result.attestations, 'attestation')}`)
  if (result.trapMessage !== undefined) line(`  the program was stopped: ${safe(result.trapMessage)}`)
  if (result.signedSeq + 1 < result.checkpoints.length) {
    line(
      `  ${paint('red', 'unsigned', stderr)}: ${result.checkpoints.length - 1 - result.signedSeq} of them, the last ones: ${result.signingLost ?? 'the run was interrupted'}`,
    )
  }
  for (const notice of result.host.notices) line(`  ${safe(notice)}`)
  for (const run of result.follows) line(`  an input is an output of the earlier run ${short(run)}`)
  if (written !== undefined && written.written.length > 0) line(`  wrote ${written.written.map(safe).join(', ')}`)
  for (const { path, reason, sha256 } of written?.conflicts ?? []) {
    line(
      `  ${paint('yellow', 'not written', stderr)}: ${safe(path)}: ${CONFLICTS[reason]}; the output is in the record and the store as ${short(sha256)}`,
    )
  }
  if (result.removed.length > 0)
    line(`  the program deleted ${result.removed.map(safe).join(', ')}; your files are still there`)
  for (const { code, detail, count: times } of result.notes)
    line(`  ${NOTES[code] ?? 'not available to the program'}: ${safe(detail)} (${code}, ${count(times, 'time')})`)
  if (outcome !== undefined) line(`  next: reprise verify ${safe(shortPath(result.recordPath))}, then reprise repeat`)
}

const CONFLICTS = {
  changed: 'somebody changed it while the program ran',
  'not-an-input': "a file of that name is there and is not the program's to replace",
  link: 'a symbolic link stands there',
  'not-a-file': 'something that is no file stands there',
  outside: 'it would land outside the working folder',
  name: 'this file system takes no such name',
} as const

const NOTES: Readonly<Record<string, string>> = {
  READ_ONLY: 'the program tried to change what it may only read',
  LIMIT: 'a limit was reached',
}

function headline({ outcome }: RunResult): string {
  if (outcome === undefined) return 'interrupted'
  return 'code' in outcome.exit ? `exited ${outcome.exit.code}` : `trapped: ${outcome.exit.trap}`
}
