/** Copies of a software TPM's folder that are brought back, and crashes while the host notes what it saw. */

import { spawnSync } from 'node:child_process'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ZERO_DIGEST } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { prepareHome } from '../home.ts'
import { openHost } from '../identity/open-host.ts'
import type { SigningHost } from '../signer/server.ts'
import { killProcess, SoftwareHomes } from '../software-home.ts'
import type { PowerStep } from './power.ts'

let homes: SoftwareHomes
beforeAll(async () => {
  homes = await SoftwareHomes.create()
})
afterAll(() => homes[Symbol.asyncDispose]())

const open = async (home: string): Promise<SigningHost> => await openHost({ paths: prepareHome(home), tpm: 'software' })
const swtpmOf = (home: string): string => join(home, 'tpm', 'swtpm')
const noteOf = async (home: string): Promise<{ counter: string; resetCount: number }> =>
  JSON.parse(await readFile(join(home, 'tpm', 'power.json'), 'utf8')) as { counter: string; resetCount: number }

/** A home with an identity whose TPM was shut down. */
async function used(): Promise<string> {
  const home = await homes.home()
  await (await open(home)).close()
  return home
}

const begin = (host: SigningHost): Promise<unknown> =>
  host.count({ purpose: 'begin', runId: new Uint8Array(32), attempt: 1, previous: ZERO_DIGEST })

async function copyOf(home: string): Promise<string> {
  const copy = `${home}-copy`
  await rm(copy, { recursive: true, force: true })
  // A socket is no file, and nothing of the state.
  await cp(swtpmOf(home), copy, { recursive: true, filter: (path) => !path.endsWith('.sock') })
  return copy
}

async function bringBack(home: string, copy: string): Promise<void> {
  await killProcess(home, 'swtpm')
  await rm(swtpmOf(home), { recursive: true })
  await cp(copy, swtpmOf(home), { recursive: true })
}

describe('a copy of the software TPM that is brought back', () => {
  test('from before a run is refused, with both values and what to do', async () => {
    const home = await used()
    const copy = await copyOf(home)
    const host = await open(home)
    await begin(host)
    await host.close()
    const { counter } = await noteOf(home)
    await bringBack(home, copy)
    await expect(open(home)).rejects.toMatchObject({
      code: 'TPM_ROLLED_BACK',
      message: expect.stringMatching(
        new RegExp(`it is at counter ${Number(counter) - 2}, .* and was at counter ${counter}, `),
      ) as string,
      hint: expect.stringContaining('reprise host init --new') as string,
    })
    // It stays so, until the newer one is there again.
    await expect(open(home)).rejects.toMatchObject({ code: 'TPM_ROLLED_BACK' })
  })

  test('from before a restart is refused, though no run was begun', async () => {
    const home = await used()
    const copy = await copyOf(home)
    await (await open(home)).close()
    await bringBack(home, copy)
    await expect(open(home)).rejects.toMatchObject({ code: 'TPM_ROLLED_BACK' })
  })

  test('that was taken while it ran is refused, and the newer one still signs when it is brought back', async () => {
    const home = await used()
    const host = await open(home)
    const copy = await copyOf(home)
    await begin(host)
    const newer = `${home}-newer`
    await host.close()
    await cp(swtpmOf(home), newer, { recursive: true })
    await bringBack(home, copy)
    await expect(open(home)).rejects.toMatchObject({ code: 'TPM_ROLLED_BACK' })
    await bringBack(home, newer)
    const again = await open(home)
    expect((await again.quote(new Uint8Array(32))).signature.length).toBeGreaterThan(0)
    await again.close()
  })

  test('that is as new as what was noted is no older: nothing was forgotten', async () => {
    const home = await used()
    const copy = await copyOf(home)
    await bringBack(home, copy)
    await (await open(home)).close()
  })

  test('and signed elsewhere in the meantime is refused', async () => {
    const home = await used()
    const clone = await homes.home()
    await rm(clone, { recursive: true })
    await cp(home, clone, { recursive: true })
    const other = await open(clone)
    await begin(other)
    await other.close()
    await bringBack(home, swtpmOf(clone))
    await expect(open(home)).rejects.toMatchObject({
      code: 'TPM_ROLLED_BACK',
      message: expect.stringContaining('used by somebody else') as string,
    })
  })

  test('of which no note was left is refused', async () => {
    const home = await used()
    const path = join(home, 'tpm', 'power.json')
    const note = await readFile(path)
    await writeFile(path, note.subarray(0, note.length / 2))
    await expect(open(home)).rejects.toMatchObject({ code: 'IDENTITY_DAMAGED' })
    await rm(path)
    await expect(open(home)).rejects.toMatchObject({
      code: 'IDENTITY_DAMAGED',
      message: expect.stringContaining('it is missing') as string,
    })
    await writeFile(path, note)
    await (await open(home)).close()
  })
})

describe('a backup of the state', () => {
  test('is as new as the note, so that it helps when the state is lost', async () => {
    const home = await used()
    const host = await open(home)
    await begin(host)
    await killProcess(home, 'swtpm')
    await host.close().catch(() => undefined)
    const state = join(swtpmOf(home), 'tpm2-00.permall')
    await rm(state)
    await cp(join(swtpmOf(home), 'backup', 'tpm2-00.permall'), state)
    await (await open(home)).close()
  })
})

const STEPS: readonly PowerStep[] = ['checked', 'counted', 'tpm synced', 'noted']

/** Opens the host in a process of its own, which kills itself at a step: of the start, or of counting the begin of an attempt. */
function dieAt(home: string, step: PowerStep, when: 'start' | 'begin'): number | null {
  const module = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href)
  const script = `
    const { prepareHome } = await import(${module('../home.ts')})
    const { openHost } = await import(${module('../identity/open-host.ts')})
    let armed = ${when === 'start'}
    const afterStep = (step) => { if (armed && step === ${JSON.stringify(step)}) process.kill(process.pid, 'SIGKILL') }
    const host = await openHost({ paths: prepareHome(${JSON.stringify(home)}), tpm: 'software', afterStep })
    armed = true
    await host.count({ purpose: 'begin', runId: new Uint8Array(32), attempt: 1, previous: new Uint8Array(32) })
    process.exit(7)`
  const { status, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  return signal === 'SIGKILL' ? null : status
}

describe('a host that is killed while it counts', () => {
  test.each(STEPS.flatMap((step) => (['start', 'begin'] as const).map((when) => [step, when] as const)))(
    'after "%s" at the %s goes on, whether its TPM is killed as well or not',
    async (step, when) => {
      for (const tpmToo of [false, true]) {
        const home = await used()
        // A begin is not compared with anything.
        const expected = step === 'checked' && when === 'begin' ? 7 : null
        expect(dieAt(home, step, when)).toBe(expected)
        if (tpmToo) await killProcess(home, 'swtpm')
        const before = BigInt((await noteOf(home)).counter)
        const host = await open(home)
        await begin(host)
        expect(BigInt((await noteOf(home)).counter)).toBeGreaterThan(before)
        await host.close()
        await (await open(home)).close()
      }
    },
  )
})
