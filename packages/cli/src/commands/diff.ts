/** `reprise diff`: where two runs part, to the byte. */
import { resolve } from 'node:path'
import { difference, loadRecord, type Difference, type Fork, type OutputDifference } from '@reprise/runner'
import { createContext, openStore } from '../context.ts'
import { EXIT_INTERRUPTED, EXIT_NO, EXIT_YES } from '../exit.ts'
import { count, paint, safe, short } from '../print/format.ts'
import { progressLine } from '../print/progress.ts'

interface DiffOptions {
  readonly inputs: string
  readonly rerun: boolean
  readonly json?: boolean
}

const BYTES_SHOWN = 8
const LINES_SHOWN = 10

export async function action(options: object, [pathA = '', pathB = '']: readonly string[]): Promise<number> {
  const { inputs, rerun, json = false } = options as DiffOptions
  const context = createContext()
  await using a = await loadRecord(pathA)
  await using b = await loadRecord(pathB)
  const store = await openStore(context)
  const progress = progressLine()
  const result = await difference({
    a,
    b,
    store,
    home: context.home,
    inputsFolder: resolve(inputs),
    rerun,
    signal: context.signal,
    onPhase: (phase) => progress.show(phase),
  }).finally(() => progress.clear())
  // The comparison was not made; half of it would pass for an answer.
  if (context.signal.aborted) return EXIT_INTERRUPTED
  if (json) process.stdout.write(`${JSON.stringify(answer(result))}\n`)
  else printDifference(result, pathA, pathB)
  return result.equal ? EXIT_YES : EXIT_NO
}

function answer(result: Difference): object {
  const { firstDivergence, memory } = result
  return {
    schema: 'reprise/diff-result/v1',
    equal: result.equal,
    definitions: result.definitions,
    environments: result.environments,
    firstDivergence:
      firstDivergence === undefined
        ? null
        : {
            checkpoint: firstDivergence.seq,
            lastEqualCheckpoint: firstDivergence.lastEqualSeq ?? null,
            position: { a: firstDivergence.position.original, b: firstDivergence.position.repetition },
            differs: firstDivergence.differs,
          },
    pages: memory.kind === 'compared' ? memory.pages : [],
    pageCount: memory.kind === 'compared' ? memory.pageCount : null,
    bytes: memory.kind === 'compared' ? memory.bytes : [],
    notCompared: memory.kind === 'compared' ? null : memory.why,
    outputs: result.outputs,
    fork: result.fork ?? null,
    cause: result.cause?.cause ?? null,
    explanation: result.cause?.sentence ?? null,
  }
}

export function printDifference(result: Difference, pathA: string, pathB: string): void {
  const { stdout } = process
  const line = (text: string): void => void stdout.write(`${text}\n`)
  if (result.equal) {
    line(`${paint('green', 'equal', stdout)}   the same computation, every checkpoint and every output the same`)
    if (result.fork !== undefined) printFork(result.fork, line)
    return
  }
  line(`${paint('red', 'different', stdout)}   ${safe(pathA)} (a) and ${safe(pathB)} (b)`)
  if (result.fork !== undefined) printFork(result.fork, line)
  for (const text of result.definitions.slice(0, LINES_SHOWN)) line(`  definition: ${safe(text)}`)
  const { firstDivergence: first, memory } = result
  if (first === undefined) {
    line('  every checkpoint is equal')
  } else {
    const last = first.lastEqualSeq === undefined ? 'from the start' : `checkpoint ${first.lastEqualSeq} is still equal`
    line(`  checkpoint ${first.seq} is the first that differs, in ${first.differs.join(', ')}; ${last}`)
    line(`    position ${first.position.original ?? 'none'} in a, ${first.position.repetition ?? 'none'} in b`)
  }
  if (memory.kind === 'compared' && memory.pageCount === 0) {
    line(
      '  memory there: equal; what differs is the machine around it: its files, descriptors, clock or random numbers',
    )
  } else if (memory.kind === 'compared') {
    line(`  memory there: ${count(memory.pageCount, 'page')} of 4 KiB differ${memory.pageCount === 1 ? 's' : ''}`)
    for (const { address, a, b } of memory.bytes.slice(0, BYTES_SHOWN))
      line(`    0x${address.toString(16).padStart(8, '0')}  ${hexByte(a)} ${hexByte(b)}`)
    if (memory.bytes.length > BYTES_SHOWN) line('    …')
  } else if (first !== undefined) {
    line(`  memory not compared: ${safe(memory.why)}`)
  }
  for (const output of result.outputs.slice(0, LINES_SHOWN)) printOutput(output, line)
  if (result.cause !== undefined) line(`  likely cause: ${result.cause.cause}. ${safe(result.cause.sentence)}`)
}

function printFork({ run, agreedSeq, a, b }: Fork, line: (text: string) => void): void {
  const until = agreedSeq === null ? 'with nothing signed in common' : `signed alike up to checkpoint ${agreedSeq}`
  line(`  fork: both are of the run ${short(run)}, which was gone on with twice; ${until}`)
  for (const [name, { attempt, seq, host, startedAt }] of Object.entries({ a, b }))
    line(`    ${name}: then checkpoint ${seq} by attempt ${attempt}, on its host ${host}, begun ${safe(startedAt)}`)
}

function hexByte(value: number | null): string {
  return value === null ? '--' : value.toString(16).padStart(2, '0')
}

function printOutput(output: OutputDifference, line: (text: string) => void): void {
  const name = `output ${safe(output.path)}`
  if (output.kind !== 'differs') return line(`  ${name}: ${output.kind}`)
  if (output.at === null) return line(`  ${name}: differs; ${safe(output.why)}`)
  const { at } = output
  const where = at.line === undefined ? `byte ${at.offset}` : `line ${at.line}, column ${at.column}`
  line(`  ${name}: ${where} (${safe(at.context)}): ${safe(at.a)} in a, ${safe(at.b)} in b`)
}
