/** What a witness remembers over its own restarts: spec/agent.md §3.1, §6. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Attested } from '../../channel/channel.ts'
import { POLICY } from '../../plan/sample.ts'
import { commit, type HeldShares, NO_SHARES, prepare } from '../../protocol/epochs.ts'
import { reportOf } from '../../protocol/witness.ts'
import type { HeartbeatClock } from '../../sealing/prior-shutdown.ts'
import type { PriorShutdown } from '../../types.ts'
import { type Memory, openMemory } from './memory.ts'
import { baselineMs, heldOf, newWard, priorSeen, type Wards, withRoundTrip, withShare } from './wards.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reprise-witness-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const AK = `000b${'1'.repeat(64)}`
const bytes = (lengthBytes: number): Uint8Array => new Uint8Array(lengthBytes).fill(7)
const domain = { zone: 'z', room: 'm', rack: 'r', pdu: 'p' }
const at = (clock: number, resetCount: number, restartCount = 0): HeartbeatClock => ({
  clock: BigInt(clock),
  resetCount,
  restartCount,
})
const path = (): string => join(folder, 'witness.json')
const open = (now: HeartbeatClock): Promise<Memory> =>
  openMemory({
    ...{ path: path(), rosterVersion: 1, now, lastShutdown: 'abnormal', wallMs: () => 1000 },
    context: () => ({ id: 'h2', domain, policy: POLICY, view: () => undefined }),
  })
const withWard = (wards: Wards): Wards => new Map(wards).set('h1', newWard('h1', AK))

async function beat(memory: Memory, tpmClockMs: number): Promise<void> {
  await memory.step({ kind: 'heartbeat', from: 'h1', at: memory.clocks(tpmClockMs, 1000) }, withWard)
}

describe('a witness', () => {
  test('ages a heartbeat by its own clock as long as that ran without a break', async () => {
    const memory = await open(at(5000, 1))
    await beat(memory, 6000)
    const { lease, uptimeMs } = reportOf(memory.state, 'h1', memory.clocks(9000, 4000))
    expect({ lease, uptimeMs }).toEqual({ lease: { boundMs: 3000, isContinuous: true, wallMs: 3000 }, uptimeMs: 4000 })
  })

  test('was not away from its clock when only its agent was started anew', async () => {
    await beat(await open(at(5000, 1)), 6000)
    const again = await open(at(7000, 1))
    const { lease, uptimeMs } = reportOf(again.state, 'h1', again.clocks(9000, 4000))
    expect({ lease, uptimeMs }).toEqual({ lease: { boundMs: 3000, isContinuous: true, wallMs: 3000 }, uptimeMs: 4000 })
  })

  test('knows after a reset that its clock stood still, also when it went back', async () => {
    await beat(await open(at(500_000, 1)), 600_000)
    // Without TPM2_Shutdown a TPM begins where it last wrote its clock down.
    const after = await open(at(100_000, 2))
    const { lease, uptimeMs } = reportOf(after.state, 'h1', after.clocks(101_000, 9000))
    expect(lease).toMatchObject({ isContinuous: false, wallMs: 8000 })
    expect(lease?.boundMs).toBeGreaterThanOrEqual(1000)
    expect(uptimeMs).toBe(1000)
    await beat(after, 102_000)
    const third = await open(at(100_500, 3))
    expect(reportOf(third.state, 'h1', third.clocks(100_500, 9000)).lease).toMatchObject({ isContinuous: false })
  })

  test('has nothing in memory that is not on disk', async () => {
    const memory = await open(at(1, 1))
    rmSync(folder, { recursive: true })
    await expect(beat(memory, 2)).rejects.toThrow(/ENOENT/)
    expect(memory.wards.size).toBe(0)
    folder = mkdtempSync(join(tmpdir(), 'reprise-witness-'))
  })

  test('forgets a revocation only when it is told to', async () => {
    const memory = await open(at(1, 1))
    await memory.step({ kind: 'revoked', host: 'h1' })
    expect((await open(at(1, 2))).state.durable.revoked).toEqual(new Set(['h1']))
    await memory.pardon(['h1'])
    expect((await open(at(1, 3))).state.durable.revoked).toEqual(new Set())
  })

  test('can be started anew from its file after any order of shares that come, come late, and are committed', async () => {
    const share = (epoch: number) => ({ epoch, index: 0, leaseKey: bytes(65), private: bytes(1), public: bytes(1) })
    const moves = fc.array(
      fc.tuple(fc.constantFrom('prepare' as const, 'commit' as const), fc.integer({ min: 1, max: 6 })),
      {
        maxLength: 12,
      },
    )
    await fc.assert(
      fc.asyncProperty(moves, async (schedule) => {
        rmSync(path(), { force: true })
        const memory = await open(at(1, 1))
        await beat(memory, 2)
        let expected: HeldShares = NO_SHARES
        for (const [kind, epoch] of schedule) {
          const note = (wards: Wards): Wards =>
            new Map(wards).set('h1', withShare(wards.get('h1') ?? newWard('h1', AK), share(epoch)))
          await memory.step({ kind, from: 'h1', epoch }, kind === 'prepare' ? note : undefined)
          expected = kind === 'prepare' ? prepare(expected, epoch) : commit(expected, epoch)
          const kept = (await open(at(1, 1))).wards.get('h1') ?? newWard('h1', AK)
          expect(heldOf(kept)).toEqual(expected)
        }
      }),
      { numRuns: 20 },
    )
  })

  test('does not begin with a damaged file', async () => {
    await beat(await open(at(1, 1)), 2)
    const whole = readFileSync(path(), 'utf8')
    for (const damaged of ['', whole.slice(1), whole.replace('"wards"', '"words"'), whole.replace('v1', 'v2')]) {
      writeFileSync(path(), damaged)
      await expect(open(at(1, 1))).rejects.toMatchObject({ code: 'STATE', data: { path: path() } })
    }
  })
})

describe('facts of the gate', () => {
  const from = { clockMs: 9000, resetCount: 5, restartCount: 2 } as Attested
  const said = { resetIncrease: { value: 0, source: 'tpm', signed: true } } as PriorShutdown
  const facts = (seen: Parameters<typeof priorSeen>[2]): unknown[] => {
    const { resetIncrease, restartIncrease, poweredMs } = priorSeen(said, from, seen)
    return [resetIncrease.value, restartIncrease.value, poweredMs.value]
  }

  test('come from the channel and the last heartbeat, not from the request', () => {
    expect(facts({ clockMs: 4000, resetCount: 3, restartCount: 1 })).toEqual([2, 2, 5000])
    expect(facts({ clockMs: 4000, resetCount: 5, restartCount: 1 })).toEqual([0, 1, 5000])
    expect(facts({ clockMs: 9500, resetCount: 5, restartCount: 2 })).toEqual([0, 0, undefined])
  })

  test('are unknown without a heartbeat, and when counts went back', () => {
    for (const seen of [undefined, null, { clockMs: 1, resetCount: 6, restartCount: 0 }])
      expect(facts(seen)).toEqual([undefined, undefined, undefined])
  })

  test('have the median of the last round trips for a baseline', () => {
    let ward = newWard('h1', AK)
    expect(baselineMs(ward)).toBe(0)
    for (const each of [3, 1, 90, 2, 4]) ward = { ...ward, roundTripsMs: withRoundTrip(ward, each) }
    expect(baselineMs(ward)).toBe(3)
    for (let i = 0; i < 40; i++) ward = { ...ward, roundTripsMs: withRoundTrip(ward, 7) }
    expect([ward.roundTripsMs.length, baselineMs(ward)]).toEqual([15, 7])
  })
})
