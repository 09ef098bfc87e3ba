/** What `reprise diff` says to people. */
import {
  callSentence,
  type Difference,
  type Fork,
  type OutputDifference,
  type StepFinding,
  type StepPlace,
} from '@reprise/runner'
import { count, paint, safe, short } from './format.ts'

type Line = (text: string) => void
type Step = Extract<StepFinding, { kind: 'found' }>

const BYTES_SHOWN = 8
const LINES_SHOWN = 10
const FRAMES_SHOWN = 12
const ROW_BYTES = 16

export function printDifference(result: Difference, pathA: string, pathB: string): void {
  const { stdout } = process
  const line: Line = (text) => void stdout.write(`${text}\n`)
  if (result.equal) {
    line(`${paint('green', 'equal', stdout)}   the same computation, every checkpoint and every output the same`)
    if (result.fork !== undefined) printFork(result.fork, line)
    return
  }
  line(`${paint('red', 'different', stdout)}   ${safe(pathA)} (a) and ${safe(pathB)} (b)`)
  if (result.fork !== undefined) printFork(result.fork, line)
  for (const text of result.definitions.slice(0, LINES_SHOWN)) line(`  definition: ${safe(text)}`)
  printCheckpoint(result, line)
  if (result.step.kind === 'found') printStep(result.step, line)
  else if (result.firstDivergence !== undefined && result.step.why !== whyNoMemory(result))
    line(`  no first step: ${safe(result.step.why)}`)
  for (const output of result.outputs.slice(0, LINES_SHOWN)) printOutput(output, line)
  if (result.cause !== undefined) line(`  likely cause: ${result.cause.cause}. ${safe(result.cause.sentence)}`)
}

function printFork({ run, agreedSeq, a, b }: Fork, line: Line): void {
  const until = agreedSeq === null ? 'with nothing signed in common' : `signed alike up to checkpoint ${agreedSeq}`
  line(`  fork: both are of the run ${short(run)}, which was gone on with twice; ${until}`)
  for (const [name, { attempt, seq, host, startedAt }] of Object.entries({ a, b }))
    line(`    ${name}: then checkpoint ${seq} by attempt ${attempt}, on its host ${host}, begun ${safe(startedAt)}`)
}

function whyNoMemory({ memory }: Difference): string | undefined {
  return memory.kind === 'not-compared' ? memory.why : undefined
}

function printCheckpoint({ firstDivergence: first, memory, step }: Difference, line: Line): void {
  if (first === undefined) return line('  every checkpoint is equal')
  const last = first.lastEqualSeq === undefined ? 'from the start' : `checkpoint ${first.lastEqualSeq} is still equal`
  line(`  checkpoint ${first.seq} is the first that differs, in ${first.differs.join(', ')}; ${last}`)
  line(`    position ${first.position.original ?? 'none'} in a, ${first.position.repetition ?? 'none'} in b`)
  if (memory.kind !== 'compared') return line(`  memory not compared: ${safe(memory.why)}`)
  if (memory.pageCount === 0) {
    return line(
      '  memory there: equal; what differs is the machine around it: its files, descriptors, clock or random numbers',
    )
  }
  line(`  memory there: ${count(memory.pageCount, 'page')} of 4 KiB differ${memory.pageCount === 1 ? 's' : ''}`)
  // The step shows where it began; without one this is all there is.
  if (step.kind === 'found') return
  for (const { address, a, b } of memory.bytes.slice(0, BYTES_SHOWN))
    line(`    ${hexAddress(address)}  ${hexByte(a)} ${hexByte(b)}`)
  if (memory.bytes.length > BYTES_SHOWN) line('    …')
}

function printStep(step: Step, line: Line): void {
  const { steps, stops, script, place, call } = step
  line(`  first step that differs: behind position ${steps.from}, ${stopsSentence(stops)}`)
  if (script !== null) line(`    script: ${safe(script.file)}, line ${script.line}, in ${safe(script.function)}`)
  if (call !== null) line(`    came in by: ${safe(callSentence(call))}${errnoSentence(call.errno)}`)
  if (place !== null) line(`    in: ${placeSentence(place)}`)
  printValues(step, line)
  printStacks(step, line)
}

function stopsSentence({ a, b }: Step['stops']): string {
  const at = ({ kind, position }: Step['stops']['a']): string =>
    kind === 'due' ? `position ${position}` : `${kind === 'exited' ? 'the end' : 'the trap'} at ${position}`
  return at(a) === at(b) ? `at ${at(a)}` : `at ${at(a)} in a, ${at(b)} in b`
}

function errnoSentence({ a, b }: { readonly a: number; readonly b: number }): string {
  return a === b ? '' : `, which answers ${a} in a, ${b} in b`
}

function placeSentence({ function: { index, name }, offset, source }: StepPlace): string {
  const called = name === null ? `function ${index}` : `${safe(name)} (function ${index})`
  const where = source === null ? '' : `, ${safe(source.file)} line ${source.line}`
  return `${called}${where}, offset ${offset} of the module`
}

function printValues({ memory, bytes, global, stackValue }: Step, line: Line): void {
  if (memory !== null) {
    const { address, a, b, as } = memory
    line(
      `    memory at ${hexAddress(address)}: ${spaced(a) || 'beyond its end'} in a, ${spaced(b) || 'beyond its end'} in b`,
    )
    for (const value of as) {
      const place = value.address === address ? '' : ` at ${hexAddress(value.address)}`
      line(`      as ${value.type}${place}: ${safe(value.a)} in a, ${safe(value.b)} in b`)
    }
    printRows(memory, line)
    if (bytes.length > 1)
      line(`      ${bytes.length === 64 ? '64 bytes or more' : count(bytes.length, 'byte')} differ in all`)
  }
  if (global !== null) {
    const name = global.name === null ? `global ${global.index}` : `global ${global.index} (${safe(global.name)})`
    line(`    ${name}, ${global.type}: ${global.a} in a, ${global.b} in b`)
  }
  if (stackValue !== null) {
    line(`    on the stack of ${placeSentence(stackValue)}:`)
    line(`      value ${stackValue.value}, ${stackValue.type}: ${stackValue.a} in a, ${stackValue.b} in b`)
  }
}

/** Both sides row by row; which bytes differ stands below in words, for those who see no colours. */
function printRows({ around }: NonNullable<Step['memory']>, line: Line): void {
  for (let row = 0; row < around.a.length / 2; row += ROW_BYTES) {
    const [a, b] = [around.a, around.b].map((text) => text.slice(2 * row, 2 * (row + ROW_BYTES)))
    if (a === b) continue
    line(`      ${hexAddress(around.address + row)}  a  ${spaced(a).padEnd(47)}  ${printable(a)}`)
    line(`                  b  ${spaced(b).padEnd(47)}  ${printable(b)}`)
    line(`                     ${runsOf(a, b)}`)
  }
}

/** `bytes 2 to 4, 7 differ`, counted from 0. */
function runsOf(a: string, b: string): string {
  const differs = (at: number): boolean => a.slice(2 * at, 2 * at + 2) !== b.slice(2 * at, 2 * at + 2)
  const runs: string[] = []
  for (let i = 0; i < ROW_BYTES; i++) {
    if (!differs(i)) continue
    const start = i
    while (i + 1 < ROW_BYTES && differs(i + 1)) i++
    runs.push(start === i ? `${i}` : `${start} to ${i}`)
  }
  const isOne = runs.length === 1 && !runs[0].includes(' ')
  return isOne ? `byte ${runs[0]} differs` : `bytes ${runs.join(', ')} differ`
}

function printStacks({ stack, script }: Step, line: Line): void {
  if (script !== null && script.stack.length > 1) {
    line('    the script, from the innermost line outward:')
    for (const { file, line: at, function: name } of script.stack.slice(0, FRAMES_SHOWN))
      line(`      ${safe(file)}, line ${at}, in ${safe(name)}`)
    if (script.stack.length > FRAMES_SHOWN) line(`      … and ${script.stack.length - FRAMES_SHOWN} more`)
  }
  if (stack.length < 2) return
  line('    called from:')
  for (const frame of stack.slice(1, FRAMES_SHOWN)) line(`      ${placeSentence(frame)}`)
  if (stack.length > FRAMES_SHOWN) line(`      … and ${stack.length - FRAMES_SHOWN} more`)
}

const hexAddress = (address: number): string => `0x${address.toString(16).padStart(8, '0')}`
const spaced = (digits: string): string => digits.replaceAll(/(..)(?!$)/g, '$1 ')
const printable = (digits: string): string =>
  Buffer.from(digits, 'hex')
    .toString('latin1')
    .replaceAll(/[^ -~]/g, '.')

function hexByte(value: number | null): string {
  return value === null ? '--' : value.toString(16).padStart(2, '0')
}

function printOutput(output: OutputDifference, line: Line): void {
  const name = `output ${safe(output.path)}`
  if (output.kind !== 'differs') return line(`  ${name}: ${output.kind}`)
  if (output.at === null) return line(`  ${name}: differs; ${safe(output.why)}`)
  const { at } = output
  const where = at.line === undefined ? `byte ${at.offset}` : `line ${at.line}, column ${at.column}`
  line(`  ${name}: ${where} (${safe(at.context)}): ${safe(at.a)} in a, ${safe(at.b)} in b`)
}
