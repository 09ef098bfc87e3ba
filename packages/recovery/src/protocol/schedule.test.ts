/**
 * The machines under schedules that nobody would choose: messages lost, doubled, late and forged, hosts that crash at any
 * moment. What was sent by whom is kept beside them, so that a release can be held against it.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { evenPlan } from '../plan/sample.ts'
import { fleetOf } from '../simulate/fleet.ts'
import type { PriorShutdown, Share } from '../types.ts'
import { type AskingAction, type AskingEvent, type AskingState, newAsking, stepAsking } from './asking.ts'
import type { Observation } from './facts.ts'
import { holdsOrReplay } from './replay.ts'
import { releases } from './verdict.ts'
import {
  newWitness,
  reportOf,
  stepWitness,
  type WitnessAction,
  type WitnessEvent,
  type WitnessState,
} from './witness.ts'

const K = 3
const LEASE_MS = 6 * 3_600_000
const shape = { zones: 2, roomsPerZone: 2, racksPerRoom: 3, hostsPerRack: 1, racksPerPdu: 1 }
const policy = { witnesses: 5, threshold: K, perPdu: 2, perRoom: 2, ownZone: 3, resetBudget: 40, leaseMs: LEASE_MS }
const fleet = fleetOf(evenPlan(shape, policy))
const HOSTS = fleet.views.length
const UP_MS = 30 * 86_400_000
const RIGHT = Uint8Array.of(1)
const EPOCH = 1

interface Machine {
  life: number
  isUp: boolean
  resets: number
  clockBeforeMs: number
  poweredAtMs: number
  witness: WitnessState
  asking: AskingState | undefined
  hasTimer: boolean
}

interface Message {
  readonly to: number
  readonly life: number | undefined
  readonly deliver: () => void
}

/** One move of the adversary; `at` chooses among what there is. */
export type Move = readonly [
  kind: 'deliver' | 'drop' | 'double' | 'crash' | 'boot' | 'timer' | 'forge' | 'wait',
  at: number,
]

function play(moves: readonly Move[]) {
  let nowMs = 0
  const given = new Set<string>()
  const machines = fleet.views.map((_, i) => healthy(i))
  const messages: Message[] = []
  let released = 0

  const clocks = (machine: Machine) => ({
    clockMs: machine.clockBeforeMs + (machine.isUp ? nowMs - machine.poweredAtMs : 0),
    wallMs: nowMs,
  })
  const post = (to: number, deliver: () => void): void => {
    messages.push({ to, life: undefined, deliver })
  }
  /** Only to this life of the host: a timer, or the end of its own observation. */
  const own = (to: number, deliver: () => void): void => {
    messages.push({ to, life: machines[to].life, deliver })
  }

  function witness(at: number, event: WitnessEvent): void {
    const machine = machines[at]
    if (!machine.isUp) return
    const { id, domain } = fleet.views[at]
    const view = (of: string) => fleet.views[fleet.numbers.get(of) ?? -1]
    const { state, actions } = stepWitness(machine.witness, event, { id, domain, policy: fleet.plan.policy, view })
    machine.witness = state
    for (const action of actions) serve(at, action)
  }

  function serve(at: number, action: WitnessAction): void {
    const from = fleet.views[at].id
    if (action.kind === 'acknowledge') return
    if (action.kind === 'observe') {
      const about = fleet.numbers.get(action.about) ?? -1
      observe(at, action.peers, about, (observations) => {
        witness(at, { kind: 'observed', about: action.about, observations, at: clocks(machines[at]) })
      })
      return
    }
    const { request } = action
    const to = fleet.numbers.get(request.host) ?? -1
    if (action.kind === 'refuse') {
      post(to, () => ask(to, { kind: 'refused', from, attempt: request.attempt, refusals: action.refusals }))
      return
    }
    // The gate, once more and in other words: what must be true whenever a share leaves a witness.
    expect(fleet.views[to].domain.rack).not.toBe(fleet.views[at].domain.rack)
    expect(request.prior.resetIncrease.value).toBeLessThanOrEqual(policy.resetBudget)
    expect(fleet.views[to].peers[request.index]).toBe(from)
    expect(nowMs).toBeLessThanOrEqual(LEASE_MS)
    given.add(`${request.host} ${request.attempt} ${request.index}`)
    const share: Share = { host: request.host, epoch: request.epoch, index: request.index, bytes: RIGHT, digest: RIGHT }
    post(to, () => ask(to, { kind: 'share', from, attempt: request.attempt, share }))
  }

  function observe(
    at: number,
    peers: readonly string[],
    about: number,
    done: (seen: readonly Observation[]) => void,
  ): void {
    own(at, () => {
      done(
        peers.map((peer): Observation => {
          const machine = machines[fleet.numbers.get(peer) ?? -1]
          if (!machine.isUp) return { kind: 'unreachable' }
          const report = reportOf(machine.witness, fleet.views[about].id, clocks(machine))
          return { kind: 'attested', report, roundTripMs: 1 }
        }),
      )
    })
  }

  function ask(at: number, event: AskingEvent): void {
    const machine = machines[at]
    if (!machine.isUp || machine.asking === undefined) return
    const { state, actions } = stepAsking(machine.asking, event, {
      view: fleet.views[at],
      policy: fleet.plan.policy,
      rosterVersion: 1,
      isValid: ({ bytes }) => bytes === RIGHT,
    })
    machine.asking = state
    for (const action of actions) carryOut(at, action, state)
  }

  function carryOut(at: number, action: AskingAction, state: AskingState): void {
    switch (action.kind) {
      case 'observe':
        observe(at, action.peers, at, (observations) => ask(at, { kind: 'observed', observations }))
        break
      case 'ask-share': {
        const to = fleet.numbers.get(action.to) ?? -1
        const channel = { isAttested: true, isMeasurementApproved: true, roundTripMs: 1, baselineMs: 1 }
        post(to, () =>
          witness(to, { kind: 'asked', asked: { request: action.request, ...channel }, at: clocks(machines[to]) }),
        )
        break
      }
      case 'set-timer':
        machines[at].hasTimer = true
        break
      case 'release':
        released += 1
        expect(new Set(action.shares.map(({ index }) => index)).size).toBeGreaterThanOrEqual(K)
        expect(releases(action.verdict)).toBe(true)
        for (const { host, epoch, index, bytes } of action.shares) {
          expect({ host, epoch, bytes }).toEqual({ host: fleet.views[at].id, epoch: EPOCH, bytes: RIGHT })
          // A witness gave it in this very attempt: nothing is left over from an earlier one.
          expect(given.has(`${host} ${state.attempt} ${index}`)).toBe(true)
        }
        break
      case 'alarm':
        break
    }
  }

  function crash(at: number): void {
    const machine = machines[at]
    if (!machine.isUp) return
    machine.clockBeforeMs += nowMs - machine.poweredAtMs
    machine.isUp = false
    machine.life += 1
    machine.asking = undefined
    machine.hasTimer = false
  }

  function boot(at: number): void {
    const machine = machines[at]
    if (machine.isUp) return
    machine.isUp = true
    machine.life += 1
    machine.resets += 1
    machine.poweredAtMs = nowMs
    witness(at, { kind: 'started', at: clocks(machine), lastShutdown: 'abnormal' })
    machine.asking = newAsking(abnormal(machine.resets))
    ask(at, { kind: 'booted', attempt: String(machine.life), prior: abnormal(machine.resets), epochs: [EPOCH] })
  }

  function timer(at: number): void {
    if (!machines[at].hasTimer) return
    machines[at].hasTimer = false
    ask(at, { kind: 'timer' })
  }

  function deliver({ to, life, deliver: happen }: Message): void {
    if (life === undefined || machines[to].life === life) happen()
  }

  function forge(at: number): void {
    const to = at % HOSTS
    const { id, peers } = fleet.views[to]
    const index = (at >> 4) % policy.witnesses
    const attempt = at % 3 === 0 ? (machines[to].asking?.attempt ?? '') : String(at % 5)
    // Some with the right bytes of another attempt, index, host or epoch.
    const bytes = at % 2 === 0 ? RIGHT : Uint8Array.of(2)
    const isOther = at % 7 !== 0
    const share = {
      host: isOther ? id : 'other',
      epoch: isOther && at % 2 === 0 ? 2 : EPOCH,
      index,
      bytes,
      digest: RIGHT,
    }
    if (bytes === RIGHT && share.epoch === EPOCH && share.host === id) return
    ask(to, { kind: 'share', from: peers[(at >> 8) % peers.length], attempt, share })
  }

  for (const [kind, at] of moves) {
    const message = messages.length === 0 ? -1 : at % messages.length
    if (kind === 'deliver' && message >= 0) deliver(messages.splice(message, 1)[0])
    else if (kind === 'drop' && message >= 0 && messages[message].life === undefined) messages.splice(message, 1)
    else if (kind === 'double' && message >= 0) deliver(messages[message])
    else if (kind === 'crash') crash(at % HOSTS)
    else if (kind === 'boot') boot(at % HOSTS)
    else if (kind === 'timer') timer(at % HOSTS)
    else if (kind === 'forge') forge(at)
    else if (kind === 'wait') nowMs += (at % 60) * 1000
  }
  /** The adversary leaves; everybody has power, and what is sent arrives. @returns Who is still waiting. */
  function settle(): readonly string[] {
    for (let i = 0; i < HOSTS; i++) boot(i)
    for (let round = 0; round < 12; round++) {
      for (let i = 0; i < 10_000 && messages.length > 0; i++) deliver(messages.splice(0, 1)[0])
      nowMs += 60_000
      for (let i = 0; i < HOSTS; i++) timer(i)
    }
    return machines.flatMap(({ asking }, i) =>
      asking !== undefined && asking.phase.kind !== 'released' ? [`${fleet.views[i].id} ${asking.phase.kind}`] : [],
    )
  }
  return { settle, released: () => released }
}

function healthy(at: number): Machine {
  const empty = newWitness(1)
  const wards = fleet.wards[at].map((ward) => fleet.views[ward].id)
  const heartbeats = new Map(wards.map((ward) => [ward, { clockMs: UP_MS, wallMs: 0 }]))
  const shares = new Map(wards.map((ward) => [ward, { epochs: [EPOCH], committed: EPOCH }]))
  const witness = { ...empty, durable: { ...empty.durable, heartbeats, shares } }
  return {
    life: 0,
    isUp: true,
    resets: 0,
    clockBeforeMs: UP_MS,
    poweredAtMs: 0,
    witness,
    asking: undefined,
    hasTimer: false,
  }
}

function abnormal(resets: number): PriorShutdown {
  const tpm = <T>(value: T) => ({ value, source: 'tpm', signed: true }) as const
  const unknown = { value: undefined, source: 'kernel', signed: false } as const
  const own = { orderly: tpm(false), resetIncrease: tpm(resets), restartIncrease: tpm(0), poweredMs: tpm(0) }
  const others = {
    bootId: unknown,
    journalShutdown: unknown,
    wtmpShutdown: unknown,
    kernelCrash: unknown,
    fileSystemClean: unknown,
  }
  return { ...own, ...others, cleanMarker: { value: false, source: 'marker', signed: true } }
}

const moves = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 12, arbitrary: fc.constant('deliver' as const) },
      { weight: 6, arbitrary: fc.constantFrom('drop' as const, 'double' as const, 'forge' as const, 'timer' as const) },
      { weight: 3, arbitrary: fc.constantFrom('crash' as const, 'boot' as const, 'wait' as const) },
    ),
    fc.nat(4095),
  ),
  { maxLength: 400, size: 'max' },
)

function holds(property: (schedule: readonly Move[]) => void, numRuns: number): void {
  const details = fc.check(fc.property(moves, property), { numRuns })
  holdsOrReplay('schedule', details, fc.defaultReportMessage(details))
}

describe('asking hosts and witnesses', () => {
  test('release nothing without K valid shares of this attempt, and leave nobody waiting when peace returns', () => {
    holds(
      (schedule) => {
        expect(play(schedule).settle()).toEqual([])
      },
      process.env['REPRISE_TESTS'] === 'check' ? 60 : 400,
    )
  })

  test('that fail a property leave a replay file, which fails it again', () => {
    // As if no host might ever lose its power.
    const wrong = (schedule: readonly Move[]): void => {
      play(schedule)
      expect(schedule.filter(([kind]) => kind === 'crash')).toEqual([])
    }
    const run = (): void => holds(wrong, 100)
    let path = ''
    try {
      run()
    } catch (error) {
      path = /replay file: (.*)/.exec((error as Error).message)?.[1] ?? ''
    }
    const schedule = JSON.parse(readFileSync(path, 'utf8')) as Move[]
    rmSync(dirname(path), { recursive: true })
    expect(schedule).toHaveLength(1)
    expect(() => wrong(schedule)).toThrow(/to deeply equal/)
  })

  test('come back from the dark together', () => {
    const dark = fleet.views.map((_, i): Move => ['crash', i])
    const { settle, released } = play(dark)
    expect(settle()).toEqual([])
    expect(released()).toBe(HOSTS)
  })

  const folder = resolve(import.meta.dirname, '../../../../vectors/recovery')
  test.each(readdirSync(folder).filter((name) => name.startsWith('schedule-')))('%s', (name) => {
    const schedule = JSON.parse(readFileSync(join(folder, name, 'input.json'), 'utf8')) as Move[]
    expect(play(schedule).settle()).toEqual([])
  })
})
