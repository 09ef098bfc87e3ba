/**
 * Recognises counted loops: those whose number of iterations is known before the first, so that they are charged
 * once at their entry and run without a check inside.
 *
 * The rule decides positions; it is spec/wasm-machine.md §5.4, step for step.
 */

import type { Body } from '../module/body.ts'
import { OP } from '../module/opcodes.ts'

/** Counted loops have at most this many instructions, so that their bodies may stand in the code twice. */
export const COUNTED_WEIGHT_MAX = 128
/** From this number of iterations on, a counted loop runs with a check per iteration after all. */
export const COUNTED_TRIPS_MAX = 1 << 20

export interface CountedLoop {
  readonly counter: number
  readonly step: number
  /** The local that holds the step, where it is no literal; it may still hold zero. */
  readonly stepLocal: number | undefined
  /** A local that the loop does not change, or a constant. */
  readonly bound: { readonly local: number } | { readonly constant: number }
}

export function countedLoop(body: Body, loop: number): CountedLoop | undefined {
  const { opcode, immediate } = body
  const first = body.loopAt[loop]
  const end = body.mate[first]
  if (body.loopFlags[loop] !== 0 || body.loopBackEdges[loop] !== 1 || immediate[first] >= 0) return undefined
  if (body.loopWeight[loop] > COUNTED_WEIGHT_MAX) return undefined
  const branch = end - 1
  if (opcode[branch] !== OP.brIf || immediate[branch] !== 0) return undefined
  const condition = readCondition(body, branch - 1, first)
  if (condition === undefined) return undefined
  const step = readStep(body, first, end, condition.counter)
  if (step === undefined || step.value === 0 || !compares(condition.comparison, step.value)) return undefined
  const { bound, counter } = condition
  if ('local' in bound && (bound.local === counter || isSet(body, first, end, bound.local))) return undefined
  if (step.local !== undefined && isSet(body, first, end, step.local)) return undefined
  return { counter, step: step.value, stepLocal: step.local, bound }
}

interface Condition {
  readonly counter: number
  readonly bound: CountedLoop['bound']
  /** As if the counter stood on the left. */
  readonly comparison: number
}

/**
 * The counter against the bound, in either order, or the counter alone. The counter is read by local.get, or
 * it is the local.tee of its own step. `last` is the instruction before the branch.
 */
function readCondition(body: Body, last: number, first: number): Condition | undefined {
  const { opcode, immediate } = body
  const comparison = opcode[last]
  if (comparison === OP.localGet || comparison === OP.localTee) {
    return { counter: immediate[last], bound: { constant: 0 }, comparison: OP.i32Ne }
  }
  if (comparison < OP.i32Ne || comparison > OP.i32GtU) return undefined
  const right = readOperand(body, last - 1, first)
  const left = right === undefined ? undefined : readOperand(body, right.start - 1, first)
  if (left === undefined || right === undefined) return undefined
  const counterLeft =
    left.isStep || (!right.isStep && 'local' in left.value && isCounter(body, first, left.value.local))
  const [counter, bound] = counterLeft ? [left, right] : [right, left]
  if (!('local' in counter.value) || bound.isStep) return undefined
  return {
    counter: counter.value.local,
    bound: bound.value,
    comparison: counterLeft ? comparison : mirrored(comparison),
  }
}

interface Operand {
  readonly start: number
  readonly isStep: boolean
  readonly value: CountedLoop['bound']
}

function readOperand(body: Body, last: number, first: number): Operand | undefined {
  const { opcode, immediate } = body
  if (last <= first) return undefined
  if (opcode[last] === OP.i32Const) return { start: last, isStep: false, value: { constant: immediate[last] } }
  const value = { local: immediate[last] }
  if (opcode[last] === OP.localGet) return { start: last, isStep: false, value }
  if (opcode[last] === OP.localTee && stepAt(body, last) !== undefined) return { start: last - 3, isStep: true, value }
  return undefined
}

function isCounter(body: Body, first: number, local: number): boolean {
  return isSet(body, first, body.mate[first], local)
}

interface Step {
  readonly value: number
  readonly local: number | undefined
}

/**
 * The step of `local.get i, STEP, i32.add` before the local.set or local.tee of i at `set`. STEP is an i32.const, or a
 * local that the function sets in one place only, to an i32.const: clang keeps repeated constants in locals.
 */
function stepAt(body: Body, set: number): Step | undefined {
  const { opcode, immediate } = body
  if (opcode[set - 1] !== OP.i32Add || opcode[set - 3] !== OP.localGet) return undefined
  if (immediate[set - 3] !== immediate[set]) return undefined
  const operand = immediate[set - 2]
  if (opcode[set - 2] === OP.i32Const) return { value: operand, local: undefined }
  if (opcode[set - 2] !== OP.localGet || operand < body.params || body.localSets[operand] !== 1) return undefined
  return { value: body.localConstants[operand], local: operand }
}

/** The step of a counter that is set exactly once, outside of the blocks in the loop. */
function readStep(body: Body, first: number, end: number, counter: number): Step | undefined {
  const { opcode, immediate } = body
  let step: Step | undefined
  let sets = 0
  let blockEnd = first
  for (let n = first + 1; n < end; n++) {
    const op = opcode[n]
    if (op >= OP.block && op <= OP.else && n > blockEnd) blockEnd = outerEnd(body, n)
    if ((op !== OP.localSet && op !== OP.localTee) || immediate[n] !== counter) continue
    sets++
    if (n - 3 > blockEnd) step = stepAt(body, n)
  }
  return sets === 1 ? step : undefined
}

function outerEnd(body: Body, opener: number): number {
  let n = body.mate[opener]
  while (body.opcode[n] === OP.else) n = body.mate[n]
  return n
}

function isSet(body: Body, first: number, end: number, local: number): boolean {
  for (let n = first + 1; n < end; n++) {
    const op = body.opcode[n]
    if ((op === OP.localSet || op === OP.localTee) && body.immediate[n] === local) return true
  }
  return false
}

function mirrored(comparison: number): number {
  switch (comparison) {
    case OP.i32LtS:
      return OP.i32GtS
    case OP.i32LtU:
      return OP.i32GtU
    case OP.i32GtS:
      return OP.i32LtS
    case OP.i32GtU:
      return OP.i32LtU
    default:
      return comparison
  }
}

/** `≠` for every step, `<` for +1 and `>` for -1: only these surely end within the charged number. */
function compares(comparison: number, step: number): boolean {
  if (comparison === OP.i32Ne) return true
  return step === 1
    ? comparison === OP.i32LtS || comparison === OP.i32LtU
    : step === -1 && (comparison === OP.i32GtS || comparison === OP.i32GtU)
}

/**
 * The factor and the rotation that turn a distance into a number of iterations: rotr(distance × factor, shift).
 *
 * |step| = 2^shift × odd; the factor is the inverse of `odd` modulo 2^32. When the distance is a multiple of the
 * step this is the exact quotient; otherwise the low bits that do not vanish make it larger than any limit.
 */
export function tripFactors(step: number): { readonly factor: number; readonly shift: number } {
  const size = Math.abs(step)
  const shift = 31 - Math.clz32(size & -size)
  const odd = size >>> shift
  let factor = odd // Newton: each step doubles the number of right bits, beginning with three.
  for (let bits = 3; bits < 32; bits *= 2) factor = Math.imul(factor, 2 - Math.imul(odd, factor))
  return { factor, shift }
}
