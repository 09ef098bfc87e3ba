/** `reprise recovery`: bad input is named, the same seed gives the same bytes, an interruption leaves nothing half. */
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { serveBoard, type Sightings } from '@reprise/recovery/board'
import { afterAll, describe, expect, test } from 'vitest'
import { sampleSightings } from '../../packages/recovery/src/board/sample.ts'
import { builtCommand } from './room.ts'

const main = builtCommand()
const folder = mkdtempSync(join(tmpdir(), 'reprise-recovery-'))
afterAll(() => rmSync(folder, { recursive: true }))

function reprise(...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'recovery', ...words], {
    cwd: folder,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

const small = ['--hosts', '512', '--watch', '30m']

describe('recovery plan', () => {
  test('answers for a file that is not there, and for one that is no plan', () => {
    expect(reprise('plan', 'nowhere.yaml')).toMatchObject({ status: 2, stdout: '' })
    writeFileSync(join(folder, 'list.yaml'), '- a\n- b\n')
    const { status, stdout } = reprise('plan', 'list.yaml', '--json')
    expect(status).toBe(2)
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'reprise/error/v1', code: 'PLAN' })
  })

  test('of one host alone is a plan in mode tpm-only', () => {
    const host = 'hosts: [{ name: one, address: "10.0.0.1:1", zone: z, room: m, rack: k, pdu: p }]'
    writeFileSync(join(folder, 'one.yaml'), `fleet: one\nversion: 1\nlongestOutage: 1h\nmode: tpm-only\n${host}\n`)
    const { status, stdout } = reprise('plan', 'one.yaml', '--json')
    expect(status).toBe(0)
    const answer = JSON.parse(stdout) as { notes: string[] }
    expect(answer).toMatchObject({ schema: 'reprise/recovery-plan-result/v1', hosts: 1, mode: 'tpm-only' })
    expect(answer.notes[0]).toContain('carried off')
    expect(reprise('simulate', '--plan', 'one.yaml').stderr).toContain('tpm-only')
    expect(reprise('plan', 'one.yaml', '--host', 'two').status).toBe(2)
  })
})

describe('recovery simulate', () => {
  test('gives the same answer for the same seed, time apart, and writes its curves', () => {
    const once = (): object => {
      const { stdout, status } = reprise('simulate', 'zone-dark', ...small, '--svg', 'curve.svg', '--json')
      expect(status).toBe(0)
      const { wallS: _, peakBytes: __, ...answer } = JSON.parse(stdout) as Record<string, unknown>
      return answer
    }
    const first = once()
    expect(first).toMatchObject({ schema: 'reprise/recovery-simulation-result/v1', hosts: 512, affected: 128 })
    expect(once()).toEqual(first)
    expect(readFileSync(join(folder, 'curve.svg'), 'utf8')).toContain('<svg')
  })

  test('ends with 1 when something stolen was released', () => {
    const { status, stdout } = reprise('simulate', 'stolen-zone', ...small)
    expect(status).toBe(1)
    expect(stdout).toContain('false releases')
  })

  test('refuses what makes no sense', () => {
    for (const words of [
      ['flood'],
      ['rack-dark', '--outages', '300'],
      ['--hosts', '1'],
      ['--never', '140%'],
      ['--cut-for', 'long'],
    ])
      expect(reprise('simulate', ...words).status).toBe(2)
    expect(reprise('simulate', 'rack-dark', ...small, '--svg', 'no/where.svg').status).toBe(2)
  })

  test('stops at a signal and leaves no half answer', async () => {
    const words = [main, 'recovery', 'simulate', 'flapping', '--hosts', '20000', '--svg', 'half.svg', '--json']
    const child = spawn(process.execPath, words, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    child.stdout.on('data', (bytes: Buffer) => (said += String(bytes)))
    const timer = setTimeout(() => child.kill('SIGINT'), 3000)
    const code = await new Promise((done) => child.once('close', done))
    clearTimeout(timer)
    // Where the signal came before there was anybody to take it, Node ends by itself.
    expect([130, null]).toContain(code)
    expect(said).toBe('')
    expect(existsSync(join(folder, 'half.svg'))).toBe(false)
  })
})

describe('recovery drill', () => {
  const host = (name: string, zone: string, rack: string, last: number): string =>
    `  - { name: ${name}, address: "10.0.0.${last}:1", zone: ${zone}, room: ${zone}-m, rack: ${rack}, pdu: ${rack}-p }\n`
  const hosts = ['a', 'b'].map((zone, z) => [1, 2, 3].map((n) => host(zone + n, zone, zone + n, 3 * z + n)).join(''))
  const plan = (ownZone: number): string =>
    `fleet: six\nversion: 1\nlongestOutage: 1h\npolicy: { witnesses: ${ownZone + 2}, threshold: 2, perRoom: 2, ownZone: ${ownZone} }\nhosts:\n${hosts.join('')}`

  test('predicts a blackout, and what is cut off besides holds where its zone keeps too few shares', () => {
    for (const [ownZone, cutOff] of [
      [1, 0],
      [2, 3],
    ] as const) {
      writeFileSync(join(folder, 'six.yaml'), plan(ownZone))
      const { status, stdout } = reprise('drill', '--blackout', 'a', '--dry-run', '--plan', 'six.yaml', '--json')
      expect(status).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({
        schema: 'reprise/recovery-prediction/v1',
        scope: 'zone',
        predicted: [{ outcome: { affected: 3, released: 3 } }, { outcome: { affected: 3, released: cutOff } }],
      })
    }
  })

  test('plays a blackout of the hosts of a plan, with keys of its own', () => {
    writeFileSync(join(folder, 'six.yaml'), plan(2))
    const { status, stdout, stderr } = reprise('drill', '--blackout', 'a2', '--plan', 'six.yaml', '--json')
    expect(stderr).toBe('')
    expect(status).toBe(0)
    const {
      checks,
      hosts: count,
      releasedMs,
    } = JSON.parse(stdout) as {
      readonly hosts: number
      readonly checks: readonly { readonly holds: boolean }[]
      readonly releasedMs: object
    }
    expect(count).toBe(6)
    expect(checks.map(({ holds }) => holds)).toEqual([true, true, true, true])
    expect(Object.keys(releasedMs)).toEqual(['a2'])
  })

  test('says what is missing', () => {
    expect(reprise('drill').status).toBe(2)
    expect(reprise('drill', '--blackout', 'nowhere', '--plan', 'six.yaml', '--json').stdout).toContain('no nowhere')
    expect(reprise('drill', '--blackout', 'nowhere', '--dry-run', '--plan', 'six.yaml').stderr).toContain('nowhere')
  })
})

describe('recovery drill --local', () => {
  /** Processes that have this folder in their command line. */
  const running = (of: string): readonly string[] =>
    readdirSync('/proc').filter((name) => {
      try {
        return (
          /^\d+$/.test(name) &&
          Number(name) !== child?.pid &&
          readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(of)
        )
      } catch {
        return false
      }
    })
  let child: ReturnType<typeof spawn> | undefined

  test('that is interrupted ends with 130, stops all that it started, and removes it', async () => {
    const base = mkdtempSync('/tmp/rd-')
    const own = join(base, 'd')
    const command = resolve(import.meta.dirname, '../../reprise')
    const drill = spawn(command, ['recovery', 'drill', '--local', '--hosts', '8', '--folder', own], { stdio: 'pipe' })
    child = drill
    let said = ''
    drill.stdout.on('data', (bytes: Buffer) => {
      said += String(bytes)
      if (said.includes('splits its secret')) drill.kill('SIGINT')
    })
    const [code] = (await once(drill, 'close')) as [number | null]
    expect(code).toBe(130)
    expect(running(own)).toEqual([])
    expect(existsSync(own)).toBe(false)
    rmSync(base, { recursive: true })
  })
})

describe('recovery status', () => {
  /** The board is served by this process, which must not wait for the command. */
  async function status(...words: readonly string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
    const running = promisify(execFile)(process.execPath, [main, 'recovery', 'status', ...words], { cwd: folder })
    return await running.then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: unknown; stdout: string; stderr: string }) => error,
    )
  }

  test('shows the fleet as a board has it, and ends with 1 while not all serve', async () => {
    const collect = (): Promise<Sightings> => Promise.resolve(sampleSightings())
    const board = await serveBoard({ listen: '127.0.0.1:0', collect, clock: () => performance.now() })
    try {
      const { code, stdout } = await status('--via', board.address)
      expect(code).toBe(1)
      expect(stdout).toContain('12 hosts: 3 serving, 2 on their way')
      expect(stdout).toContain('locked: only its operators release it')
      const json = await status('--via', board.address, '--json')
      expect(JSON.parse(json.stdout)).toMatchObject({
        schema: 'reprise/recovery-status-result/v1',
        fleet: 'lab',
        counts: { serving: 3, alarm: 2 },
      })
    } finally {
      await board.close()
    }
  })

  test('says when nobody answers, or something else does', async () => {
    expect(await status('--via', '127.0.0.1:9')).toMatchObject({ code: 3, stdout: '' })
    const other = createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { code, stderr } = await status('--via', `127.0.0.1:${(other.address() as AddressInfo).port}`)
    other.close()
    expect(code).toBe(2)
    expect(stderr).toContain('no state of a fleet')
  })
})
