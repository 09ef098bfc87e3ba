import { request } from 'node:http'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Channel } from '../channel/channel.ts'
import type { Answer } from '../channel/messages.ts'
import { RecoveryError } from '../error.ts'
import { collectSightings } from './collect.ts'
import { boardPage, lookOf } from './page.ts'
import { NOW_MS, SAMPLE_PLAN, sampleSightings, servicesOf, statusOf } from './sample.ts'
import { type BoardServer, serveBoard } from './server.ts'
import { type Heard, parseSightings, type Sightings, sightingsJson } from './sightings.ts'
import { boardLines } from './text.ts'
import { boardView } from './view.ts'

const view = boardView(sampleSightings())
const hostOf = (name: string) => view.hosts.find(({ host }) => host === name)!

describe('boardView', () => {
  test('counts every host once, those that need a person first', () => {
    expect(view.counts).toEqual({ alarm: 2, waiting: 1, coming: 2, silent: 4, serving: 3 })
    expect(view.hosts.map(({ standing }) => standing).slice(0, 3)).toEqual(['locked', 'unattested', 'holding'])
  })

  test('puts missing shares together by domain and reason', () => {
    expect(hostOf('z0-m0-k0-h2').missing).toEqual([
      { where: 'rack z0-m1-k0', why: 'unreachable', witnesses: ['z0-m1-k0-h0', 'z0-m1-k0-h1'] },
      { where: 'rack z1-m0-k0', why: 'VERDICT', witnesses: ['z1-m0-k0-h0'] },
    ])
    expect(view.missing).toEqual(hostOf('z0-m0-k0-h2').missing)
  })

  test('the frontier is what is not ready though all before it is', () => {
    expect(hostOf('z0-m0-k0-h1').frontier.map(({ name }) => name)).toEqual(['database'])
    expect(view.services.map(({ name, ready, frontierOn }) => [name, ready, frontierOn])).toEqual([
      ['network', 4, []],
      ['database', 2, ['z1-m1-k0-h1', 'z0-m0-k0-h1'].toSorted()],
      ['site', 2, []],
    ])
  })

  test('expects of a host what half of the others took', () => {
    // Ready half a minute ago, in an agent that runs for a minute.
    expect(view.usualMs).toBe(30_000)
    expect(hostOf('z0-m0-k0-h1').estimate).toEqual({ kind: 'in', leftMs: 10_000 })
    expect(hostOf('z0-m0-k0-h2').estimate).toEqual({ kind: 'late', byMs: 15_000 })
    expect(view.estimate).toEqual({ kind: 'in', leftMs: 10_000 })
  })

  test('expects nothing before the first host is back, and of none that waits', () => {
    const asking: Heard = { kind: 'status', status: statusOf('z0-m0-k0-h0', { state: 'asking', services: [] }) }
    const sightings = sampleSightings()
    const first: Sightings = { ...sightings, hosts: [{ ...sightings.hosts[0], heard: asking }] }
    expect(boardView(first).estimate).toEqual({ kind: 'unknown', why: 'no host has come back yet' })
    expect(hostOf('z1-m0-k0-h1').estimate.kind).toBe('unknown')
  })

  test('keeps alarms apart from what an outage brings with it', () => {
    expect(view.alarms.map(({ host }) => host)).toEqual(['z1-m0-k0-h2', 'z1-m1-k0-h0', 'z1-m1-k0-h1', 'z1-m0-k0-h0'])
    expect(view.noise).toEqual([
      'rack z0-m1-k0 is silent as a whole: 3 hosts'.replace('rack z0-m1-k0', 'room z0-m1'),
      'silent alone: z1-m1-k0-h2',
      '1 of 12 hosts have an older plan: it comes with their next heartbeat',
    ])
  })

  test('says that all is done when all serve', () => {
    const all = sampleSightings().hosts.map(({ host }): [string, Heard] => [
      host,
      { kind: 'status', status: statusOf(host, { services: servicesOf('ready', 'ready', 'ready') }) },
    ])
    const done = boardView(sampleSightings(new Map(all)))
    expect(done.estimate).toEqual({ kind: 'done' })
    expect([done.alarms, done.noise, done.missing]).toEqual([[], [], []])
  })
})

describe('boardLines', () => {
  test('say it in words', () => {
    const lines = boardLines(view)
    expect(lines[0]).toContain('03:04:05Z')
    expect(lines).toContain('  12 hosts: 3 serving, 2 on their way, 1 waiting, 4 silent, 2 in need of a person')
    expect(lines).toContain('  serving    z0-m0-k0-h0, z1-m0-k0-h0, z1-m1-k0-h1')
    expect(lines.join('\n')).toContain('asking       z0-m0-k0-h2   verdict recover   shares 1 of 2')
    expect(lines).toContain(
      '  database   ready on 2 of 12, starting on 1, failed on 1, next on z0-m0-k0-h1, z1-m1-k0-h1',
    )
  })

  test('stay few when hosts are many', () => {
    expect(boardLines(view, { hostsMax: 1 }).join('\n')).toContain('and 1 more')
  })
})

describe('sightings', () => {
  test('decode after encode is what it was', () => {
    expect(parseSightings(sightingsJson(sampleSightings()))).toEqual(sampleSightings())
  })

  test('anything else is refused by its code', () => {
    const good = sightingsJson(sampleSightings())
    for (const wrong of ['', '[]', good.slice(1), good.replace('serving', 'sleeping'), good.replace('"by"', '"bye"')])
      expect(() => parseSightings(wrong)).toThrow(RecoveryError)
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
        try {
          parseSightings(good.slice(0, at) + String.fromCharCode(byte) + good.slice(at + 1))
        } catch (error) {
          expect(error).toBeInstanceOf(RecoveryError)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('collectSightings', () => {
  test('asks every active host once, and believes none that speaks for another', async () => {
    const asked: string[] = []
    const say = (to: string) => (): Promise<Answer> =>
      to === 'z1-m1-k0-h2'
        ? Promise.reject(new Error('gone'))
        : Promise.resolve({ kind: 'status', status: statusOf(to === 'z1-m1-k0-h1' ? 'z0-m0-k0-h0' : to) })
    const { hosts, by } = await collectSightings({
      plan: SAMPLE_PLAN,
      own: statusOf('z0-m0-k0-h0'),
      withinMs: 1000,
      wallMs: () => NOW_MS,
      network: {
        renew: () => undefined,
        reach(to) {
          asked.push(to)
          if (to === 'z1-m0-k0-h0') return Promise.resolve({ kind: 'unattested', why: 'another key' })
          const channel = { peer: { roundTripMs: 1 }, say: say(to) } as unknown as Channel
          return Promise.resolve({ kind: 'attested', channel })
        },
      },
    })
    expect(by).toBe('z0-m0-k0-h0')
    expect(asked.toSorted()).toEqual(SAMPLE_PLAN.roster.hosts.map(({ id }) => id).slice(1))
    const heardOf = (name: string) => hosts.find(({ host }) => host === name)?.heard
    expect(heardOf('z0-m0-k0-h1')?.kind).toBe('status')
    expect(heardOf('z1-m0-k0-h0')).toEqual({ kind: 'unattested', why: 'another key' })
    expect(heardOf('z1-m1-k0-h2')).toEqual({ kind: 'unreachable', why: 'gone' })
    expect(heardOf('z1-m1-k0-h1')).toEqual({ kind: 'unreachable', why: 'it answers with status' })
  })
})

describe('boardPage', () => {
  const page = (query: string): string => boardPage(view, lookOf(new URLSearchParams(query)))

  test('obeys nothing that a host says', () => {
    expect(page('')).toContain('a &#60;b&#62;share&#60;/b&#62; was wrong')
    expect(page('')).not.toContain('<b>share</b>')
    expect(page('?host=%22%3E%3Cscript%3Ex')).not.toContain('<script>x')
  })

  test('has nothing from elsewhere', () => {
    expect(page('')).not.toMatch(/(?:src|href)="(?:https?:)?\/\//)
  })

  test('shows what its address says', () => {
    const rows = (query: string): number => page(query).split('<tr id="host-').length - 1
    expect([rows(''), rows('show=silent'), rows('show=alarm'), rows('show=nonsense')]).toEqual([12, 4, 2, 12])
    expect(page('show=coming&host=z0-m0-k0-h2')).toContain('<h2 id="detail">z0-m0-k0-h2</h2>')
    expect(page('show=coming')).toContain('href="./?show=coming&#38;host=z0-m0-k0-h2"')
  })
})

describe('serveBoard', () => {
  let asked = 0
  let nowMs = 0
  const serve = (): Promise<BoardServer> =>
    serveBoard({
      listen: '127.0.0.1:0',
      clock: () => nowMs,
      collect: () => {
        asked += 1
        return asked === 2 ? Promise.reject(new Error('the agent is busy')) : Promise.resolve(sampleSightings())
      },
    })

  test('serves page and document, asks the fleet seldom, and is read only', async () => {
    const board = await serve()
    try {
      const at = `http://${board.address}`
      const page = await fetch(at)
      expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'.*script-src 'sha256-/)
      expect(await page.text()).toContain('<h1>lab</h1>')
      expect(parseSightings(await (await fetch(`${at}/sightings.json`)).text()).takenWallMs).toBe(NOW_MS)
      expect(asked).toBe(1)
      nowMs += 10_000
      const busy = await fetch(at)
      expect([busy.status, await busy.text()]).toEqual([500, 'the agent is busy\n'])
      // A failure is not kept.
      expect((await fetch(at)).status).toBe(200)
      expect((await fetch(at, { method: 'POST' })).status).toBe(405)
      expect((await fetch(`${at}/x`)).status).toBe(404)
    } finally {
      await board.close()
    }
  })

  test('answers to its own name only', async () => {
    const board = await serve()
    try {
      const [host, port] = board.address.split(':')
      const status = await new Promise((resolve, reject) => {
        request({ host, port, headers: { host: 'rebound.example' } }, (answer) => {
          answer.resume()
          resolve(answer.statusCode)
        })
          .on('error', reject)
          .end()
      })
      expect(status).toBe(421)
    } finally {
      await board.close()
    }
  })

  test('says when it cannot listen', async () => {
    await expect(
      serveBoard({ listen: 'here', collect: () => Promise.reject(new Error()), clock: () => 0 }),
    ).rejects.toThrow(RecoveryError)
    await expect(
      serveBoard({ listen: '192.0.2.1:1', collect: () => Promise.reject(new Error()), clock: () => 0 }),
    ).rejects.toMatchObject({ code: 'BOARD' })
  })
})
