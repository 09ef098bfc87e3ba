/** `reprise diff`: where two runs part, to the step and the byte. */
import { resolve } from 'node:path'
import { difference, loadRecord, type Difference, type StepFinding } from '@reprise/runner'
import { createContext, openStore } from '../context.ts'
import { EXIT_INTERRUPTED, EXIT_NO, EXIT_YES } from '../exit.ts'
import { printDifference } from '../print/difference.ts'
import { progressLine } from '../print/progress.ts'

interface DiffOptions {
  readonly inputs: string
  readonly rerun: boolean
  readonly steps: 'yes' | 'no'
  readonly json?: boolean
}

export async function action(options: object, [pathA = '', pathB = '']: readonly string[]): Promise<number> {
  const { inputs, rerun, steps, json = false } = options as DiffOptions
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
    steps: steps === 'yes',
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
  const { firstDivergence, memory, reproduced } = result
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
            ...stepAnswer(result.step),
          },
    pages: memory.kind === 'compared' ? memory.pages : [],
    pageCount: memory.kind === 'compared' ? memory.pageCount : null,
    bytes: memory.kind === 'compared' ? memory.bytes : [],
    notCompared: memory.kind === 'compared' ? null : memory.why,
    reproduced: { a: reproduced.a ?? null, b: reproduced.b ?? null },
    outputs: result.outputs,
    fork: result.fork ?? null,
    cause: result.cause?.cause ?? null,
    explanation: result.cause?.sentence ?? null,
  }
}

function stepAnswer(step: StepFinding): object {
  if (step.kind !== 'found') return { steps: null, noSteps: step.why }
  return {
    steps: step.steps,
    stops: step.stops,
    parts: step.differs,
    function: step.place?.function ?? null,
    offset: step.place?.offset ?? null,
    source: step.place?.source ?? null,
    stack: step.stack,
    call: step.call,
    memory: step.memory,
    bytes: step.bytes,
    global: step.global,
    stackValue: step.stackValue,
    script: step.script,
  }
}
