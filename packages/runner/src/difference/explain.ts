/** What a step at which two executions part says: where in the program that is, what came in, and which values differ. */
import { decodeFrames, Places, type Activations, type Place } from '@reprise/wasm'
import { diffPages, type ByteDifference } from '../compare/index.ts'
import type { Look, Probe, ProbeCall, ProbeStop } from '../machine/index.ts'
import { pythonFrames, type ScriptFrame } from './python.ts'
import { both, TO_THE_END, type MarkPart, type Pair, type Step } from './steps.ts'
import { memoryPlace, type MemoryPlace } from './values.ts'

const BYTES_MAX = 64
const STACK_MAX = 64

export interface StepPlace {
  readonly function: { readonly index: number; readonly name: string | null }
  /** Of the instruction, in bytes from the start of the module. */
  readonly offset: number
  readonly source: { readonly file: string; readonly line: number } | null
}

export interface HostCallDifference {
  readonly name: string
  /** The file, or what else it was about; null for calls that are about none. */
  readonly path: string | null
  /** In the file, in bytes. */
  readonly offset: number | null
  readonly errno: Pair<number>
}

export interface ValueDifference {
  readonly type: string
  /** Exact bits, hex. */
  readonly a: string
  readonly b: string
}

/** Positions are decimal. */
export interface StepDifference {
  readonly steps: { readonly from: string; readonly to: string }
  /** The first stop of each behind `from`. */
  readonly stops: Pair<{ readonly kind: ProbeStop['kind']; readonly position: string }>
  readonly differs: readonly MarkPart[]
  /** Where the call is made; without a call, where both stood last; null at the very start. */
  readonly place: StepPlace | null
  /** From there outward; at most {@link STACK_MAX}. */
  readonly stack: readonly StepPlace[]
  readonly call: HostCallDifference | null
  readonly memory: MemoryPlace | null
  /** The first ones that differ. */
  readonly bytes: readonly ByteDifference[]
  readonly global: ({ readonly index: number; readonly name: string | null } & ValueDifference) | null
  /** A value on the stack, where neither memory nor globals differ: of the innermost activation that has one. */
  readonly stackValue: (StepPlace & { readonly value: number } & ValueDifference) | null
  /**
   * Of a Python program: the innermost frame in a file of the user's, or the innermost of all; `stack` has all of them,
   * innermost first.
   */
  readonly script: (ScriptFrame & { readonly stack: readonly ScriptFrame[] }) | null
}

/**
 * @param probes - As the search left them. They have no sure place afterwards, but can be put back to the last equal stop.
 * @param program - The module.
 * @param ownFiles - Guest paths of the user's files: of a script the innermost line in one of them is the one to name.
 */
export async function explainStep(
  probes: Pair<Probe>,
  step: Step,
  program: Uint8Array,
  ownFiles: ReadonlySet<string> = new Set(),
): Promise<StepDifference> {
  const behind = await both(probes, (probe) => probe.look())
  await both(probes, (probe) => probe.back())
  const inCall = step.call === undefined ? undefined : await lookIntoCall(probes, step.call)
  const before = inCall?.looks.a ?? (await probes.a.look())
  const memories = memoriesOf(inCall?.looks, behind)
  const places = new Places(program)
  const stack = placesOf(places, before.frames).toReversed().slice(0, STACK_MAX)
  const { bytes } = memories
  const first = bytes[0]?.address
  const global = globalDifference(behind, places)
  const script = pythonFrames(before.memory).map((frame) => ({ ...frame, file: tidyPath(frame.file) }))
  const isOwn = ({ file }: ScriptFrame): boolean => ownFiles.has(file)
  const { a, b } = step.stops
  return {
    steps: { from: step.from.toString(), to: (a.position < b.position ? a.position : b.position).toString() },
    stops: { a: shownStop(a), b: shownStop(b) },
    differs: step.differs,
    place: stack[0] ?? null,
    stack,
    call: inCall === undefined ? null : callDifference(inCall.calls),
    memory: first === undefined ? null : memoryPlace(memories.a, memories.b, first),
    bytes,
    global,
    stackValue: first === undefined && global === null ? stackDifference(behind, places) : null,
    script: script.length === 0 ? null : { ...(script.find(isOwn) ?? script[0]), stack: script },
  }
}

/** A script in the working folder, which is `/`, is `//script.py` to Python. */
const tidyPath = (path: string): string => path.replace(/^\/+/, '/')

interface InCall {
  readonly calls: Pair<ProbeCall>
  readonly looks: Pair<Look>
}

/** Both in the call that they have in common, when it is done. One that ends the program cannot be looked into. */
async function lookIntoCall(probes: Pair<Probe>, call: number): Promise<InCall | undefined> {
  const { a, b } = await both(probes, (probe) => probe.run({ ...TO_THE_END, call }))
  if (a.kind === 'call' && b.kind === 'call') {
    return { calls: { a: a.call, b: b.call }, looks: await both(probes, (probe) => probe.look()) }
  }
  await both(probes, (probe) => probe.back())
  return undefined
}

/** What the call wrote, or what differs behind the step when it wrote the same. */
function memoriesOf(
  inCall: Pair<Look> | undefined,
  behind: Pair<Look>,
): Pair<Uint8Array> & { readonly bytes: readonly ByteDifference[] } {
  const limits = { maxPages: 1, maxBytes: BYTES_MAX }
  const compared = ({ a, b }: Pair<Look>) => ({
    a: a.memory,
    b: b.memory,
    bytes: diffPages(a.memory, b.memory, limits).bytes,
  })
  const first = inCall === undefined ? undefined : compared(inCall)
  return first !== undefined && first.bytes.length > 0 ? first : compared(behind)
}

function placesOf(places: Places, frames: Uint8Array | undefined): StepPlace[] {
  return frames === undefined ? [] : places.of(decodeFrames(frames).frames).map(shownPlace)
}

function shownPlace({ function: index, name, offset, source }: Place): StepPlace {
  return { function: { index, name: name ?? null }, offset, source: source ?? null }
}

function shownStop({ kind, position }: ProbeStop): StepDifference['stops']['a'] {
  return { kind, position: position.toString() }
}

function callDifference({ a, b }: Pair<ProbeCall>): HostCallDifference {
  return {
    name: a.name,
    path: a.subject?.path ?? null,
    offset: a.subject?.offset ?? null,
    errno: { a: a.errno, b: b.errno },
  }
}

function globalDifference({ a, b }: Pair<Look>, places: Places): StepDifference['global'] {
  const ordinal = a.globals.findIndex(({ bits }, i) => bits !== b.globals[i].bits)
  const { type, bits } = a.globals[ordinal] ?? {}
  if (type === undefined || bits === undefined) return null
  // Behind those of the program stand the machine's own.
  const found = places.mutableGlobal(ordinal)
  if (found === undefined) return null
  return { index: found.index, name: found.name ?? null, type, a: hexBits(bits), b: hexBits(b.globals[ordinal].bits) }
}

function stackDifference(behind: Pair<Look>, places: Places): StepDifference['stackValue'] {
  if (behind.a.frames === undefined || behind.b.frames === undefined) return null
  const [a, b] = [decodeFrames(behind.a.frames), decodeFrames(behind.b.frames)]
  if (!isSameShape(a, b)) return null
  for (const [i, frame] of [...a.frames.entries()].toReversed()) {
    const others = b.frames[i].values
    const value = frame.values.findIndex((each, n) => shownValue(each) !== shownValue(others[n]))
    if (value < 0) continue
    const [place] = places.of([frame]).map(shownPlace)
    const ofA = frame.values[value]
    return { ...place, value, type: ofA.type, a: shownValue(ofA), b: shownValue(others[value]) }
  }
  return null
}

function isSameShape(a: Activations, b: Activations): boolean {
  return (
    a.frames.length === b.frames.length &&
    a.frames.every(({ function: index, site }, i) => index === b.frames[i].function && site === b.frames[i].site)
  )
}

type FrameValue = Activations['frames'][number]['values'][number]

/** References of functions by their index; of exceptions only whether there is one. */
function shownValue(value: FrameValue): string {
  if ('bits' in value) return hexBits(value.bits)
  if ('function' in value) return value.function === undefined ? 'null' : `function ${value.function}`
  return value.exception === undefined ? 'null' : 'an exception'
}

const hexBits = (bits: bigint): string => `0x${bits.toString(16)}`
