import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { TPM_HT } from '@reprise/core'
import { connect, readHandles, swtpm } from '@reprise/tpm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { prepareHome } from '../home.ts'
import { killProcess, SoftwareHomes } from '../software-home.ts'
import type { IdentityStep } from './identity.ts'
import { openHost, retireHost } from './open-host.ts'
import type { PowerStep } from '../power/power.ts'

let homes: SoftwareHomes
beforeAll(async () => {
  homes = await SoftwareHomes.create()
})
afterAll(() => homes[Symbol.asyncDispose]())

const STEPS: readonly IdentityStep[] = [
  'secrets',
  'begun',
  'dictionary attack',
  'lockout',
  'ek',
  'ak made',
  'ak persistent',
  'counter made',
  'tpm synced',
  'power noted',
  'complete',
]

type Step = IdentityStep | PowerStep

/** Ends the opening at a step, and the software TPM with it, as a loss of power would. */
function crashAfter(home: string, crashAt: Step) {
  return async (step: Step): Promise<void> => {
    if (step !== crashAt) return
    await killProcess(home, 'swtpm')
    throw new Error(`crash after ${step}`)
  }
}

async function persistentHandles(home: string): Promise<readonly number[]> {
  const running = await swtpm.start(join(home, 'tpm', 'swtpm'))
  const tpm = connect(await running.open())
  const handles = await readHandles(tpm, TPM_HT.PERSISTENT)
  await swtpm.stop(running, { tpm })
  return handles
}

describe('openHost', () => {
  test.each(STEPS)('finishes an identity that a crash after "%s" left behind', async (crashAt) => {
    const home = await homes.home()
    const paths = prepareHome(home)
    const afterStep = crashAfter(home, crashAt)
    await expect(openHost({ paths, tpm: 'software', afterStep })).rejects.toThrow(`crash after ${crashAt}`)
    const first = await openHost({ paths, tpm: 'software' })
    const { signature } = await first.quote(new Uint8Array(32))
    expect(signature.length).toBeGreaterThan(0)
    await first.close()
    const again = await openHost({ paths, tpm: 'software' })
    expect(again.facts).toEqual(first.facts)
    await again.close()
    expect((await persistentHandles(home)).filter((handle) => handle >= 0x81008000 && handle < 0x81010000)).toEqual([
      0x81008001,
    ])
  })

  test('makes an identity out of every chain of crashes', async () => {
    const home = await homes.home()
    const paths = prepareHome(home)
    for (const crashAt of STEPS.slice(0, -1)) {
      const opening = openHost({ paths, tpm: 'software', afterStep: crashAfter(home, crashAt) })
      await opening.then(
        (host) => host.close(),
        () => undefined,
      )
    }
    const host = await openHost({ paths, tpm: 'software' })
    expect((await host.report()).tpm.lockout.counter).toBe(0)
    await host.close()
  })

  test('takes the next handle while the first is taken, and frees it when it is given up', async () => {
    const home = await homes.home()
    const paths = prepareHome(home)
    const first = await openHost({ paths, tpm: 'software' })
    await first.close()
    await rm(paths.identity)
    const second = await openHost({ paths, tpm: 'software' })
    expect(second.facts.akName).not.toEqual(first.facts.akName)
    expect((await second.report()).ak.handle).toBe('0x81008002')
    await second.close()
    await retireHost(paths)
    expect(await persistentHandles(home)).toContain(0x81008001)
    expect(await persistentHandles(home)).not.toContain(0x81008002)
  })

  test('keeps the identity when a software TPM is killed after it', async () => {
    const home = await homes.home()
    const paths = prepareHome(home)
    const first = await openHost({ paths, tpm: 'software' })
    await killProcess(home, 'swtpm')
    await expect(first.quote(new Uint8Array(32))).rejects.toMatchObject({ code: 'TRANSPORT' })
    await first.close()
    const second = await openHost({ paths, tpm: 'software' })
    expect(second.facts).toEqual(first.facts)
    await second.close()
  })
})
