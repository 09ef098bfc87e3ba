/**
 * Runs guests in a process that can have a scanner, each in all the ways that are asked for, and prints what came out
 * as JSON: `Answer[]` of the `Case[]` that the file of the first argument holds.
 */

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeManifestBytes, hex, NEVER, type Computation, type Machine } from '@reprise/core'
import { openBlobStore } from '../../packages/runner/src/blobs/index.ts'
import type { DirtyPagesChoice, DirtyPagesMethod } from '../../packages/runner/src/dirty-pages/index.ts'
import { startWasmMachine } from '../../packages/runner/src/machine/index.ts'
import { blobPaths } from '../../packages/runner/src/run/prepare.ts'

export interface Case {
  readonly home: string
  readonly program: string
  readonly arguments?: readonly string[]
  readonly stdin?: string
  readonly memoryPages: number
  readonly ways: readonly Way[]
  /** Fuel between checkpoints; without it only those that the guest requests. */
  readonly fuel?: number
}

export interface Way {
  readonly dirtyPages: DirtyPagesChoice
  /** After this checkpoint go on in a new machine, from a snapshot. */
  readonly moveAt?: number
  /** The scanner is killed after the first checkpoint at which it was asked. */
  readonly kill?: boolean
}

export interface Answer {
  /** Position and state root of each checkpoint. */
  readonly states: readonly string[]
  readonly end: string
  readonly method: DirtyPagesMethod
  /** How long the guest stood still at each checkpoint. */
  readonly stallMs: readonly number[]
  readonly rssMb: number
}

async function run(given: Case, way: Way): Promise<Answer> {
  const store = await openBlobStore(given.home)
  const bytes = given.stdin === undefined ? new Uint8Array() : Buffer.from(given.stdin, 'base64')
  const [program, stdin] = await store.putAll([readFileSync(given.program), bytes])
  const computation: Computation = {
    schema: 'reprise/computation/v1',
    semantics: 'wasm/1',
    program,
    arguments: ['guest', ...(given.arguments ?? [])],
    environment: {},
    stdin,
    mounts: [{ at: '/', output: true, source: { kind: 'files', files: [] }, writable: true }],
    clock: '0',
    seed: '1',
    floats: 'canonical',
    limits: { memoryPages: given.memoryPages, stackSlots: 1 << 16 },
    checkpoints: { kind: 'none' },
    success: [],
  }
  const common = { computation, home: given.home, dirtyPages: way.dirtyPages }
  let machine = await startWasmMachine({ ...common, blobs: blobPaths(computation, store) })
  const states: string[] = []
  const stallMs: number[] = []
  let stoodMs = 0
  let isKilled = false
  let expected = { outputs: '', position: '', state: '' }
  const measure = async (of: Machine): Promise<void> => {
    const { position, stateRoot, outputsRoot } = await of.measure()
    expected = { outputs: hex(outputsRoot), position: position.toString(), state: hex(stateRoot) }
    states.push(`${position} ${hex(stateRoot)}`)
    const { measureMs } = machine.progress()
    stallMs.push(measureMs - stoodMs)
    stoodMs = measureMs
  }
  await measure(machine)
  for (let due = BigInt(given.fuel ?? NEVER); ;) {
    const stop = await machine.runTo(due)
    await measure(machine)
    if (stop.kind === 'exited' || stop.kind === 'trapped') {
      const { dirtyPages: method } = machine.progress()
      await machine[Symbol.asyncDispose]()
      const end = stop.kind === 'exited' ? String(stop.code) : stop.message
      return { states, end, method, stallMs, rssMb: Math.round(process.resourceUsage().maxRSS / 1024) }
    }
    if (stop.kind === 'due') due = stop.position + BigInt(given.fuel ?? 0)
    // A scanner that starts beside the guest is not outrun.
    if (way.dirtyPages === 'auto') await sleep(20)
    if (!isKilled && way.kill === true && machine.progress().dirtyPages.method === 'kernel') {
      killChildren()
      isKilled = true
    }
    if (states.length - 1 === way.moveAt) {
      const { manifest: digest } = await machine.snapshot()
      await machine[Symbol.asyncDispose]()
      const manifest = decodeManifestBytes(await store.read(digest))
      machine = await startWasmMachine({
        ...common,
        blobs: blobPaths(computation, store, manifest),
        from: { manifest, expected },
      })
      stoodMs = 0
      if ((await machine.restored)?.isExpected !== true) throw new Error('the restored machine is another one')
      stoodMs = machine.progress().measureMs
    }
  }
}

function killChildren(): void {
  const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ')
  for (const pid of pids) process.kill(Number(pid), 'SIGKILL')
}

const answers: Answer[][] = []
for (const given of JSON.parse(readFileSync(process.argv[2], 'utf8')) as Case[]) {
  const each: Answer[] = []
  for (const way of given.ways) each.push(await run(given, way))
  answers.push(each)
}
process.stdout.write(JSON.stringify(answers))
