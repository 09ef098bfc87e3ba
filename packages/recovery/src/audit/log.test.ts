/** What is on disk after each entry, and after each way to be cut off. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AuditEvent } from './entry.ts'
import { openAuditLog, type AuditLog } from './log.ts'

const scope = { fleet: 'lab', host: 'h1' }
let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reprise-audit-'))
  path = join(folder, 'audit.jsonl')
})
afterEach(() => rmSync(folder, { recursive: true }))

const opening = (): Promise<AuditLog> => openAuditLog(path, scope, { nowMs: () => 1_700_000_000_000 })
const alarm = (text: string): AuditEvent => ({ kind: 'alarm', text })
const boot: AuditEvent = { kind: 'boot', bootId: null, boot: 'one', planVersion: 1, more: { orderly: true } }

describe('the audit log', () => {
  test('goes on where it was, and each entry hangs on the one before', async () => {
    {
      await using log = await opening()
      expect((await log.append(boot, { clock: 5n, resetCount: 1, restartCount: 0 })).length).toBe(2)
      const places = await Promise.all([1, 2, 3].map((i) => log.append(alarm(`${i}`))))
      expect(places.map(({ length }) => length)).toEqual([3, 4, 5])
      expect(log.place).toEqual(places[2])
    }
    const before = readFileSync(path)
    await using again = await opening()
    expect(again.place.length).toBe(5)
    expect(again.droppedBytes).toBe(0)
    await again.append(alarm('5'))
    expect(readFileSync(path).subarray(0, before.length).equals(before)).toBe(true)
  })

  test('drops what a crash left of its last line, wherever it was cut, and nothing else', async () => {
    await writeThree()
    const whole = readFileSync(path)
    const ends = [...whole.entries()].filter(([, byte]) => byte === 10).map(([at]) => at + 1)
    for (let cut = 0; cut <= whole.length; cut += 7) {
      writeFileSync(path, whole.subarray(0, cut))
      const kept = ends.findLast((end) => end <= cut) ?? 0
      await using log = await opening()
      // One that has nothing left begins anew.
      const begun = kept === 0 ? ends[0] : kept
      expect([log.place.length, log.droppedBytes]).toEqual([ends.indexOf(begun) + 1, cut - kept])
      expect(readFileSync(path)).toEqual(whole.subarray(0, begun))
    }
    // A line whose end came to the disk before all of the rest.
    writeFileSync(path, Buffer.from(whole).fill(0, ends[1], whole.length - 1))
    await using log = await opening()
    expect(log.place.length).toBe(2)
  })

  test('is not gone on with when it is damaged before that, or another host’s', async () => {
    await writeThree()
    const whole = readFileSync(path)
    const changed = Buffer.from(whole)
    changed[20] ^= 1
    const cases = [changed, whole.subarray(1), Buffer.concat([Buffer.alloc(1 << 19, 97), whole]), Buffer.alloc(1 << 19)]
    for (const content of cases) {
      writeFileSync(path, content)
      await expect(opening()).rejects.toMatchObject({ code: 'AUDIT' })
      expect(readFileSync(path).equals(content)).toBe(true)
    }
    writeFileSync(path, whole)
    await expect(openAuditLog(path, { ...scope, host: 'h2' }, { nowMs: Date.now })).rejects.toMatchObject({
      code: 'AUDIT',
    })
  })

  test('takes nothing that could not be read back', async () => {
    await using log = await opening()
    await expect(log.append(alarm('x'.repeat(2000)))).rejects.toThrow('text')
    await expect(log.append({ ...boot, boot: 'No Name' })).rejects.toThrow('boot')
    expect((await log.append(boot)).length).toBe(2)
  })

  async function writeThree(): Promise<void> {
    await using log = await opening()
    for (const event of [boot, alarm('1'), alarm('2')]) await log.append(event)
  }
})
