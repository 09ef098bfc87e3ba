/** Generations on swtpm: rotation with a crash after each step, leases, break-glass, and what copies of old files are worth. */

import { randomBytes } from 'node:crypto'
import { hex } from '@reprise/core'
import { PcrExtend } from '@reprise/tpm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Share } from '../types.ts'
import { CAP_UNTOUCHED, capBoot } from './boot-state.ts'
import {
  abandonGeneration,
  commitGeneration,
  contentKey,
  type Generation,
  generationRoot,
  type GenerationStep,
  type Keeper,
  openTpmHalf,
  prepareGeneration,
  type PrepareRequest,
  readGenerations,
  renewLease,
  retireGeneration,
} from './generations.ts'
import { raiseFloor, readFloor } from './indexes.ts'
import { combineEscrow, combineShares, openEscrow } from './quorum-half.ts'
import { Secret } from './secret.ts'
import { person, TestChip } from './testing.ts'
import { breakGlassMessage, openByOperators } from './tpm-half.ts'

class Crash extends Error {}

const CONTENT_KEY = new Uint8Array(32).fill(0xc7)
const signing = [person(), person(), person()]
const escrow = [person(), person(), person()]

let made: TestChip
let chip: TestChip
let file: Uint8Array | undefined
beforeAll(async () => {
  made = await TestChip.lay()
})
afterAll(() => made[Symbol.asyncDispose]())
beforeEach(async () => {
  chip = await made.copy()
  file = undefined
})
afterEach(() => chip[Symbol.asyncDispose]())

function keeper(crashAfter?: GenerationStep): Keeper {
  return {
    pinned: chip,
    read: async () => file,
    write: async (bytes) => {
      file = bytes
    },
    random: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
    afterStep: (step) => {
      if (step === crashAfter) throw new Crash(step)
    },
  }
}

function request(change: Partial<PrepareRequest> = {}): PrepareRequest {
  return {
    host: 'web-1',
    mode: 'quorum',
    lease: { boots: [TestChip.stateOf('release 1')], cap: CAP_UNTOUCHED, resetBudget: 6 },
    witnesses: 5,
    threshold: 3,
    operators: {
      needed: 2,
      signing: signing.map(({ point }) => point),
      escrow: escrow.map(({ point }) => point),
    },
    contentKeys: [{ version: 7, key: Secret.owning(CONTENT_KEY.slice()) }],
    ...change,
  }
}

/** Opens the content key as a host does that has shares of every generation. */
async function recover(generation: Generation | undefined, shares: readonly Share[]): Promise<string> {
  if (generation === undefined) return 'none'
  const opened = await openTpmHalf(chip, generation)
  if (opened.kind === 'refused') return `${opened.rule} ${opened.response}`
  const { host, epoch } = generation.half
  using tpm = opened.secret
  const { threshold, shareDigests: digests } = generation
  using quorum = await combineShares(shares, { host, epoch, threshold, digests })
  using root = generationRoot(generation, { tpm, quorum })
  using key = contentKey(generation, root, 7)
  return hex(key.bytes)
}
const RECOVERED = hex(CONTENT_KEY)

async function provision(): Promise<readonly Share[]> {
  const { shares } = await prepareGeneration(keeper(), request())
  await commitGeneration(keeper())
  return shares
}

describe('a rotation', () => {
  const steps: readonly GenerationStep[] = ['cleared', 'sealed', 'written', 'committed', 'index gone', 'retired']

  test.each(steps)(
    'that power cuts off after "%s" leaves a generation that opens, and can be done again',
    async (step) => {
      let shares = await provision()
      const rotate = async (crashAfter?: GenerationStep): Promise<void> => {
        const prepared = await prepareGeneration(keeper(crashAfter), request())
        // The witnesses have both sets until the old generation is retired.
        shares = [...prepared.shares, ...shares]
        await commitGeneration(keeper(crashAfter))
        await retireGeneration(keeper(crashAfter))
      }
      await expect(rotate(step)).rejects.toThrow(Crash)
      await chip.cut()
      await chip.boot()
      expect(await recover((await readGenerations(keeper())).current, shares)).toBe(RECOVERED)

      await retireGeneration(keeper())
      await rotate()
      const { current, ...others } = await readGenerations(keeper())
      expect(others).toEqual({})
      expect(await recover(current, shares)).toBe(RECOVERED)
    },
  )

  test('makes copies of the old file worthless, for the TPM and for the shares', async () => {
    const old = await provision()
    const copy = await readGenerations(keeper())
    const { shares } = await prepareGeneration(keeper(), request())
    await expect(recover((await readGenerations(keeper())).next, old)).rejects.toMatchObject({
      code: 'SHARES',
      data: { valid: 0, wrong: [0, 1, 2, 3, 4] },
    })
    await commitGeneration(keeper())
    await expect(prepareGeneration(keeper(), request())).rejects.toMatchObject({ code: 'GENERATION' })
    await retireGeneration(keeper())
    expect(await recover(copy.current, old)).toBe('lease TPM_RC_HANDLE')
    expect(await recover((await readGenerations(keeper())).current, shares)).toBe(RECOVERED)
  })

  test('that was prepared and given up leaves the current generation, and its number is not used again', async () => {
    const shares = await provision()
    expect((await prepareGeneration(keeper(), request())).epoch).toBe(2)
    expect((await prepareGeneration(keeper(), request())).epoch).toBe(4)
    await abandonGeneration(keeper())
    const { current, next } = await readGenerations(keeper())
    expect(next).toBeUndefined()
    expect(await recover(current, shares)).toBe(RECOVERED)
    await expect(commitGeneration(keeper())).rejects.toMatchObject({ code: 'GENERATION' })
    const operators = { ...request().operators, escrow: [escrow[0].point] }
    await expect(prepareGeneration(keeper(), request({ operators }))).rejects.toMatchObject({ code: 'USAGE' })
  })
})

describe('a heartbeat', () => {
  async function released(shares: readonly Share[]): Promise<Secret> {
    const { current } = await readGenerations(keeper())
    const opened = await openTpmHalf(chip, current!)
    if (opened.kind === 'refused') throw new Error(opened.rule)
    const { half, threshold, shareDigests: digests } = current!
    using tpm = opened.secret
    using quorum = await combineShares(shares, { ...half, threshold, digests })
    return generationRoot(current!, { tpm, quorum })
  }

  test('renews the lease from a host that is capped, and does not write what is written', async () => {
    const shares = await provision()
    using root = await released(shares)
    await capBoot(chip.tpm)
    expect(await recover((await readGenerations(keeper())).current, shares)).toBe('boot TPM_RC_VALUE')
    expect(await renewLease(keeper(), root, request().lease)).toBe('unchanged')
    for (let boots = 0; boots < 4; boots++) {
      for (let cuts = 0; cuts < 5; cuts++) {
        await chip.cut()
        await chip.boot()
      }
      expect(await renewLease(keeper(), root, request().lease)).toBe('written')
    }
    expect(await recover((await readGenerations(keeper())).current, shares)).toBe(RECOVERED)
  })

  test('renews the lease of a generation that was made in the same boot, which is capped', async () => {
    await provision()
    await capBoot(chip.tpm)
    const { shares, root } = await prepareGeneration(keeper(), request())
    await commitGeneration(keeper())
    await retireGeneration(keeper())
    const boots = [TestChip.stateOf('release 1'), TestChip.stateOf('release 2')]
    using own = root
    expect(await renewLease(keeper(), own, { ...request().lease, boots })).toBe('written')
    await chip.cut()
    await chip.boot('release 2')
    expect(await recover((await readGenerations(keeper())).current, shares)).toBe(RECOVERED)
  })

  test.each(['lease noted', 'lease written'] as const)('cut off after "%s" leaves a lease that opens', async (step) => {
    const shares = await provision()
    using root = await released(shares)
    await chip.cut()
    await chip.boot()
    await expect(renewLease(keeper(step), root, request().lease)).rejects.toThrow(Crash)
    await chip.cut()
    await chip.boot()
    expect(await recover((await readGenerations(keeper())).current, shares)).toBe(RECOVERED)
  })

  test('cut off again and again before the TPM has taken a lease leaves the one that it holds', async () => {
    const shares = await provision()
    using root = await released(shares)
    for (let crashes = 0; crashes < 3; crashes++) {
      await chip.cut()
      await chip.boot()
      await expect(renewLease(keeper('lease noted'), root, request().lease)).rejects.toThrow(Crash)
    }
    expect(await recover((await readGenerations(keeper())).current, shares)).toBe(RECOVERED)
    expect(await renewLease(keeper(), root, request().lease)).toBe('written')
    expect(await recover((await readGenerations(keeper())).current, shares)).toBe(RECOVERED)
  })

  test('approves the next firmware before the reboot into it', async () => {
    const shares = await provision()
    using root = await released(shares)
    const boots = [TestChip.stateOf('release 1'), TestChip.stateOf('release 2')]
    await renewLease(keeper(), root, { ...request().lease, boots })
    await chip.cut()
    await chip.boot('release 2')
    expect(await recover((await readGenerations(keeper())).current, shares)).toBe(RECOVERED)
    await renewLease(keeper(), root, { ...request().lease, boots: boots.slice(1) })
    await chip.cut()
    await chip.boot('release 1')
    const { current } = await readGenerations(keeper())
    expect(await recover({ ...current!, leases: current!.leases.slice(0, 1) }, shares)).toBe('boot TPM_RC_VALUE')
    expect(await recover(current, shares)).toMatch(/^(lease|boot) TPM_RC_VALUE$/)
  })
})

describe('other ways', () => {
  test('operators release a host without witnesses, by the half that the TPM keeps and the one in escrow', async () => {
    await provision()
    await chip.cut()
    await chip.boot('rescue')
    const { current } = await readGenerations(keeper())
    const opened = await openByOperators(chip, current!.half, {
      expirationS: 600,
      collect: async (asked) =>
        [0, 2].map((operator) => ({ operator, signature: signing[operator].sign(breakGlassMessage(asked)) })),
    })
    if (opened.kind === 'refused') throw new Error(opened.rule)
    const scalar = (index: number): Uint8Array =>
      new Uint8Array(Buffer.from(escrow[index].key.export({ format: 'jwk' }).d ?? '', 'base64url'))
    const scope = { host: 'web-1', epoch: 1 }
    const parts = await Promise.all([0, 2].map((i) => openEscrow(current!.escrow[i], scope, scalar(i))))
    using tpm = opened.secret
    using quorum = await combineEscrow(parts, 2)
    using root = generationRoot(current!, { tpm, quorum })
    using key = contentKey(current!, root, 7)
    expect(hex(key.bytes)).toBe(RECOVERED)
    await expect(openEscrow(current!.escrow[0], scope, scalar(1))).rejects.toMatchObject({ code: 'SHARES' })
    await expect(openEscrow(current!.escrow[0], { ...scope, epoch: 2 }, scalar(0))).rejects.toMatchObject({
      code: 'SHARES',
    })
    await expect(combineEscrow(parts.slice(1), 2)).rejects.toMatchObject({ code: 'SHARES' })
  })

  test('mode tpm-only opens by the TPM alone, and takes no quorum half', async () => {
    const { shares } = await prepareGeneration(keeper(), request({ mode: 'tpm-only' }))
    expect(shares).toEqual([])
    await commitGeneration(keeper())
    const { current } = await readGenerations(keeper())
    const opened = await openTpmHalf(chip, current!)
    if (opened.kind === 'refused') throw new Error(opened.rule)
    using tpm = opened.secret
    using root = generationRoot(current!, { tpm })
    using key = contentKey(current!, root, 7)
    expect(hex(key.bytes)).toBe(RECOVERED)
    expect(() => generationRoot(current!, { tpm, quorum: Secret.random(32) })).toThrow(/takes the TPM half alone/)
    expect(() => contentKey(current!, root, 8)).toThrow(/no content key of image version 8/)
  })

  test('the floor of image versions only rises, and a base that somebody moved opens nothing', async () => {
    const shares = await provision()
    const { current } = await readGenerations(keeper())
    const floor = { name: 'image', base: current!.imageBase } as const
    expect(await readFloor(chip, floor)).toBe(0)
    await raiseFloor(chip, floor, 7)
    await raiseFloor(chip, floor, 5)
    await chip.cut()
    await chip.boot()
    expect(await readFloor(chip, floor)).toBe(7)
    await expect(raiseFloor(chip, floor, 1e6)).rejects.toMatchObject({ code: 'USAGE' })
    await expect(recover({ ...current!, imageBase: current!.imageBase + 7n }, shares)).rejects.toMatchObject({
      code: 'CONTENT_KEY',
    })
  })

  test('the file is read exactly, and says where it is damaged', async () => {
    await provision()
    const text = new TextDecoder().decode(file)
    expect(hex(file!)).not.toContain(hex(CONTENT_KEY))
    file = new TextEncoder().encode(text.replace('"mode":"quorum"', '"mode":"none"'))
    await expect(readGenerations(keeper())).rejects.toMatchObject({
      code: 'GENERATION',
      message: expect.stringContaining('generations.current.mode') as string,
    })
    file = new TextEncoder().encode(text.slice(0, -20))
    await expect(readGenerations(keeper())).rejects.toMatchObject({ code: 'GENERATION' })
  })

  test('registers that keep changing end an attempt, not the host', async () => {
    const shares = await provision()
    const racing = new Proxy(chip.tpm, {
      get: (tpm, name) =>
        name === 'execute'
          ? async (...[command, options]: Parameters<typeof tpm.execute>) => {
              if (command.name === 'Unseal')
                await tpm.execute(PcrExtend({ pcrHandle: 8, digests: { sha256: new Uint8Array(32) } }))
              return await tpm.execute(command, options)
            }
          : Reflect.get(tpm, name, tpm),
    })
    const { current } = await readGenerations(keeper())
    await expect(
      openTpmHalf({ tpm: racing, storageKey: chip.storageKey, persist: chip.persist }, current!),
    ).rejects.toMatchObject({ response: { name: 'TPM_RC_PCR_CHANGED' } })
    expect(await recover(current, shares)).toBe(RECOVERED)
  })
})
