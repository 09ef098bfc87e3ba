/**
 * docs/recovery-hosts.md as an operator plays it, block by block, on three machines made of one. What is put in its
 * place is said here, each with its reason; everything else is what stands on the page.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { builtCommand, ROOT } from '../command/room.ts'
import { compile, type Machines, openMachines } from './machines.ts'

const isRoot = process.getuid?.() === 0
const NAMES = ['a1', 'a2', 'a3']
const ADDRESSES = { a1: '10.0.1.1', a2: '10.0.1.2', a3: '10.0.1.3' }
const PATIENCE_MS = 240_000
const page = readFileSync(join(ROOT, 'docs/recovery-hosts.md'), 'utf8')

/** The fenced blocks of a section, by its number. */
function blocks(section: number, language = 'sh'): readonly string[] {
  const text = page.split(/^## /m).find((part) => part.startsWith(`${section} `)) ?? ''
  return [...text.matchAll(/^```(\w+)[^\n]*\n([\s\S]*?)^```$/gm)].flatMap(([, fence, body]) =>
    fence === language ? [body] : [],
  )
}

function block(section: number, language?: string): string {
  const [only, ...others] = blocks(section, language)
  if (only === undefined || others.length > 0) throw new Error(`section ${section} has not one block`)
  return only
}

/** Every line of the block that is to be another one must be there. */
function replaced(text: string, changes: readonly (readonly [RegExp, string])[]): string {
  return changes.reduce((sum, [what, by]) => {
    const next = sum.replace(what, () => by)
    if (next === sum) throw new Error(`the page has no ${String(what)} any more`)
    return next
  }, text)
}

interface HostSaid {
  readonly state: string
  readonly isReleased: boolean
  readonly shutdown: string
  readonly verdict: object | null
  readonly services: readonly { readonly name: string; readonly state: string }[]
}

describe.runIf(isRoot)('three machines, by the guide', () => {
  const operators = mkdtempSync(join(tmpdir(), 'reprise-guide-'))
  let machines: Machines

  /** On the operators' machine. */
  const sh = (script: string): string => {
    const bin = join(operators, 'bin')
    const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: operators }
    return execFileSync('sh', ['-euc', script], { cwd: operators, env, stdio: 'pipe' }).toString()
  }
  const carry = (source: string, name: string, path: string): void =>
    cpSync(join(operators, source), join(machines.of(name).disk, path))
  const host = async (name: string): Promise<HostSaid> =>
    JSON.parse(await machines.of(name).sh(`${block(8).trim()} --json || true`)) as HostSaid

  async function until(names: readonly string[], holds: (said: HostSaid) => boolean): Promise<void> {
    const deadlineMs = performance.now() + PATIENCE_MS
    for (const name of names)
      for (;;) {
        const said = await host(name).catch((error: unknown) => String(error))
        if (typeof said === 'object' && holds(said)) break
        if (performance.now() > deadlineMs) {
          const log = await machines.of(name).sh('tail -n 30 /var/log/reprise-recovery.log').catch(String)
          throw new Error(`${name}: ${JSON.stringify(said)}\n${log}`)
        }
        await sleepMs(500)
      }
  }
  const isWell = ({ state, services }: HostSaid): boolean =>
    state === 'serving' && services.length === 2 && services.every((service) => service.state === 'ready')

  beforeAll(async () => {
    mkdirSync(join(operators, 'bin'))
    writeFileSync(join(operators, 'bin/reprise'), `#!/bin/sh\nexec "${process.execPath}" "${builtCommand()}" "$@"\n`, {
      mode: 0o755,
    })
    machines = await openMachines(ADDRESSES)
    for (const name of NAMES) await machines.powerOn(name)
  }, 300_000)
  afterAll(async () => {
    await machines?.[Symbol.asyncDispose]()
    rmSync(operators, { recursive: true })
  })

  test('1: it is installed', async () => {
    // The sources are here, and so are the packages.
    const script = replaced(block(1), [
      [/^git clone .*$/m, `cd ${ROOT}`],
      [/^sudo apt-get .*$/m, ''],
    ])
    for (const name of NAMES) {
      await machines.of(name).sh(script)
      expect(await machines.of(name).sh('command -v reprise; reprise --version')).toMatch(/^\/usr\/bin\/reprise\n\d/)
    }
  }, 600_000)

  test('2 to 4: keys, offers, a plan that all sign', async () => {
    // Nobody is here to type a passphrase.
    const keys = replaced(block(2), [[/ --passphrase/g, '']])
    const lines = sh(keys).trim().split('\n')
    const [ada, bob, approver, builder] = lines.filter((line) => !line.startsWith('note'))
    const [offer] = blocks(3)
    mkdirSync(join(operators, 'offers'))
    for (const name of NAMES) {
      await machines.of(name).sh(offer.replaceAll('a1', name))
      cpSync(join(machines.of(name).disk, 'root', `${name}.json`), join(operators, 'offers', `${name}.json`))
    }
    const plan = replaced(block(4, 'yaml'), [
      [/^imageSigners: .*$/m, builder],
      [/^approver: .*$/m, approver],
      [/^ *- \{ name: ada,.*$/m, `    ${ada}`],
      [/^ *- \{ name: bob,.*$/m, `    ${bob}`],
      // Three machines on two busy processors are slower than their network.
      [/ownZone: 2 \}/, 'ownZone: 2, roundTrip: 2s }'],
    ])
    writeFileSync(join(operators, 'plan.yaml'), plan)
    expect(sh('reprise recovery plan plan.yaml')).toContain('shop')
    expect(sh(block(4))).toContain('3 approvals for shares')
  }, 300_000)

  test('5: an image of the two services', () => {
    // In place of the database and the shop: programs that check what they are given.
    for (const [folder, program] of [
      ['usr/lib/postgresql/15/bin', 'postgres'],
      ['usr/bin', 'shop'],
    ]) {
      mkdirSync(join(operators, 'shop', folder), { recursive: true })
      compile('service', join(operators, 'shop', folder, program))
    }
    writeFileSync(join(operators, 'services.json'), block(5, 'json'))
    expect(sh(block(5))).toContain('database')
  })

  test('6 and 7: the agents run, and get their secrets', async () => {
    for (const name of NAMES) {
      for (const file of ['plan.json', 'shop.image.key']) carry(file, name, `root/${file}`)
      carry('shop.image', name, 'srv/shop.image')
      writeFileSync(join(machines.of(name).disk, 'root/database-key'), `key of ${name}`)
      await machines.of(name).sh(block(6))
      await until([name], ({ state }) => state === 'starting')
    }
    for (const name of NAMES) expect(await machines.of(name).sh(block(7))).toMatch(/provisioned {3}epoch \d/)
    await until(NAMES, isWell)
    for (const name of NAMES) {
      const note = readFileSync(join(machines.of(name).disk, 'srv/database/log'), 'utf8')
      expect(note).toBe('opened with 9 characters, user 105\n')
    }
  }, 600_000)

  test('8: one whose power goes comes back, and so do all three, in another order', async () => {
    await machines.powerCut('a2')
    await machines.powerOn('a2')
    await until(['a2'], isWell)
    expect(await host('a2')).toMatchObject({ shutdown: 'lost' })
    await until(NAMES, isWell)
    for (const name of NAMES) await machines.powerCut(name)
    for (const name of NAMES.toReversed()) await machines.powerOn(name)
    await until(NAMES, isWell)
  }, 900_000)

  test('8: one whose network was unplugged is not released', async () => {
    await machines.powerCut('a3')
    await machines.powerOn('a3', false)
    await until(['a3'], ({ verdict }) => verdict !== null)
    await sleepMs(5000)
    expect(await host('a3')).toMatchObject({ isReleased: false, services: [], shares: { held: 0 } })
  }, 300_000)
})
