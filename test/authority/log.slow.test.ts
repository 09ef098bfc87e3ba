import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { auditAuthority } from '@reprise/host/authority'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { imitationHost } from './imitation-host.ts'
import { AuthorityRoom, enrol } from './rooms.ts'

const NIGHTLY = process.env['REPRISE_TESTS'] === 'nightly'

let room: AuthorityRoom
let path: string
beforeEach(async () => {
  room = await AuthorityRoom.create()
  path = join(room.home, 'log.jsonl')
})
afterEach(() => room[Symbol.asyncDispose]())

/** Two hosts with certificates, one of them revoked. */
async function fill(): Promise<void> {
  const authority = await room.open({ approve: 'software' })
  await enrol(authority, imitationHost())
  await enrol(authority, imitationHost({ ak: 'b', ek: 'b' }), 'beta')
  await authority.revoke('beta', 'unspecified')
}

describe('the log of an authority', () => {
  test('is the whole of its state, and an audit finds it whole', async () => {
    await fill()
    const report = await auditAuthority(await room.open())
    expect(report).toMatchObject({ lines: 12, requests: 2, certificates: 2, revoked: 1, findings: [] })
    const kinds = readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { event: { kind: string } }).event.kind)
    expect(kinds).toEqual([
      'founded',
      'policy',
      'requested',
      'proved',
      'approved',
      'issued',
      'requested',
      'proved',
      'approved',
      'issued',
      'revoked',
      'listed',
    ])
  })

  test('may be cut off anywhere: what is whole stays, an unfinished line goes, and it goes on', async () => {
    await fill()
    const whole = readFileSync(path)
    const ends = [...whole.entries()].filter(([, byte]) => byte === 0x0a).map(([at]) => at + 1)
    for (const [i, end] of ends.entries()) {
      const next = ends[i + 1] ?? end
      for (const cut of new Set([end, end + 1, Math.floor((end + next) / 2), next - 1])) {
        if (cut < end || cut > whole.length) continue
        writeFileSync(path, whole.subarray(0, cut))
        const authority = await room.open({ approve: 'software' })
        await authority.unlock()
        // What was approved before the cut is issued now.
        const kept = [...authority.state.requests.values()].filter(({ state }) => state === 'approved')
        expect(kept).toEqual([])
        expect(readFileSync(path).subarray(0, end).equals(whole.subarray(0, end))).toBe(true)
        expect((await enrol(authority, imitationHost({ ak: 'c', ek: 'c' }), 'gamma')).state).toBe('issued')
        await authority.revocations()
        expect((await auditAuthority(await room.open())).findings).toEqual([])
      }
    }
  })

  test('with any one byte changed is refused, or means the same', async () => {
    await fill()
    const whole = readFileSync(path)
    const before = await auditAuthority(await room.open())
    for (let at = 0; at < whole.length; at += NIGHTLY ? 29 : 211) {
      const changed = Buffer.from(whole)
      changed[at] ^= 1 << (at % 7)
      writeFileSync(path, changed)
      const opened = await room.open().then(auditAuthority, (error: { code?: string }) => error.code)
      // The last line has nobody behind it: an audit with the head that was noted sees that.
      if (typeof opened === 'object') expect(opened.head).not.toBe(before.head)
      else expect(opened).toBe('AUTHORITY_LOG')
    }
  })

  test('with a line left out, doubled or moved is refused', async () => {
    await fill()
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
    const changes = [
      lines.toSpliced(3, 1),
      lines.toSpliced(3, 0, lines[3]),
      [lines[0], lines[2], lines[1], ...lines.slice(3)],
    ]
    for (const changed of changes) {
      writeFileSync(path, `${changed.join('\n')}\n`)
      await expect(room.open()).rejects.toMatchObject({ code: 'AUTHORITY_LOG' })
    }
  })

  test('shows to whoever noted a head that lines were cut off', async () => {
    await fill()
    const { head } = await auditAuthority(await room.open())
    await enrol(await room.open(), imitationHost({ ak: 'c', ek: 'c' }), 'gamma')
    expect((await auditAuthority(await room.open(), head)).findings).toEqual([])
    truncateSync(path, readFileSync(path, 'utf8').trimEnd().split('\n').slice(0, 5).join('\n').length + 1)
    expect((await auditAuthority(await room.open(), head)).findings).toContainEqual(expect.stringContaining('cut off'))
  })

  test('refuses events that do not fit what happened before', async () => {
    const authority = await room.open()
    const { request } = await enrol(authority, imitationHost())
    const wrong = [
      {
        kind: 'proved',
        request,
        quote: { attest: new Uint8Array(1), signature: new Uint8Array(1), pcrs: { sha256: {} } },
      },
      { kind: 'revoked', serial: new Uint8Array(16), reason: 'unspecified' },
      { kind: 'founded', name: 'again', root: new Uint8Array(1) },
      {
        kind: 'issued',
        request,
        serial: new Uint8Array(16),
        certificate: new Uint8Array(1),
        notAfter: new Date(0).toISOString(),
      },
    ] as const
    const before = readFileSync(path)
    for (const event of wrong) {
      const opened = await room.open()
      await expect(opened.log.transact(({ append }) => append(event))).rejects.toMatchObject({ code: 'AUTHORITY_LOG' })
      writeFileSync(path, before)
    }
  })

  test('that shrank under an authority is noticed', async () => {
    const authority = await room.open()
    await enrol(authority, imitationHost())
    truncateSync(path, 10)
    await expect(authority.refresh()).rejects.toMatchObject({ code: 'AUTHORITY_LOG' })
  })

  test('is shared by several processes: each sees what the others wrote, and no line is lost', async () => {
    const authorities = await Promise.all(Array.from({ length: 4 }, () => room.open({ approve: 'software' })))
    const enrolled = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const name = `host-${i}`
        return await enrol(authorities[i % 4], imitationHost({ ak: name, ek: name }), name)
      }),
    )
    expect(enrolled.map(({ state }) => state)).toEqual(Array.from({ length: 12 }, () => 'issued'))
    for (const authority of authorities) {
      await authority.refresh()
      expect(
        authority
          .valid()
          .map(({ name }) => name)
          .toSorted(),
      ).toEqual(enrolled.map(({ name }) => name).toSorted())
    }
    const serials = new Set(authorities[0].valid().map(({ serial }) => serial))
    expect(serials.size).toBe(12)
    expect((await auditAuthority(await room.open())).findings).toEqual([])
  })

  test('does not take what is no line of it', async () => {
    appendFileSync(path, '{}\n')
    await expect(room.open()).rejects.toThrow('line 2')
  })
})
