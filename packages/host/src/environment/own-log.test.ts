import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { concat, decodeOwnLog, engineDigest, equal, type OwnMeasurement, ownLogValues, utf8 } from '@reprise/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { sha256 } from '../hashing.ts'
import { OwnLogKeeper, type OwnRegister } from './own-log.ts'

/** A register in memory; `failAfter` extensions it is as if the power had gone. */
class Register implements OwnRegister {
  value: Uint8Array = new Uint8Array(32)
  resetCount = 1
  restartCount = 0
  extensions = 0
  failAfter = Number.POSITIVE_INFINITY
  /** Before the next extension somebody else extends it. */
  strangers = 0

  async read() {
    const { value, resetCount, restartCount } = this
    return { value, resetCount, restartCount }
  }

  async extend(digest: Uint8Array): Promise<void> {
    if (this.extensions === this.failAfter) throw new Error('killed')
    this.extensions += 1
    if (this.strangers > 0) {
      this.strangers -= 1
      this.value = sha256(concat(this.value, sha256(utf8('stranger'))))
    }
    this.value = sha256(concat(this.value, digest))
  }
}

const rewriter = (version: string): OwnMeasurement => ({ kind: 'rewriter', version })
const node = (version: string): OwnMeasurement => ({ kind: 'node', sha256: '0'.repeat(64), v8: '14', version })

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reprise-own-log-'))
  path = join(folder, 'own-log.json')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** The log, whose replay is what the register holds. */
async function held(register: Register, measured: readonly OwnMeasurement[]) {
  const log = decodeOwnLog(utf8(await new OwnLogKeeper(path, register).measure(measured)), sha256)
  expect(equal(ownLogValues(log, sha256).at(-1) as Uint8Array, register.value)).toBe(true)
  return log
}

describe('OwnLogKeeper', () => {
  test('extends what is new, and nothing else', async () => {
    const register = new Register()
    await held(register, [node('1'), rewriter('1')])
    expect(register.extensions).toBe(3)
    await held(register, [node('1'), rewriter('1')])
    expect(register.extensions).toBe(3)
    const log = await held(register, [node('2'), rewriter('1')])
    expect(log.measurements).toEqual([node('1'), rewriter('1'), node('2')])
    expect(register.extensions).toBe(4)
  })

  test('says the same again while the register is as it was, and looks again when it is not', async () => {
    const register = new Register()
    const keeper = new OwnLogKeeper(path, register)
    const text = await keeper.measure([node('1')])
    expect(await keeper.measure([node('1')])).toBe(text)
    await rm(path)
    expect(await keeper.measure([node('1')])).toBe(text)
    expect(register.extensions).toBe(2)
    expect(await keeper.measure([node('2')])).not.toBe(text)
    register.resetCount += 1
    register.value = new Uint8Array(32)
    const anew = decodeOwnLog(utf8(await keeper.measure([node('2')])), sha256)
    expect([anew.begin.resetCount, anew.measurements]).toEqual([2, [node('2')]])
  })

  test('measures a value that was there before again, once another one came between', async () => {
    const register = new Register()
    await held(register, [node('1')])
    await held(register, [node('2')])
    expect((await held(register, [node('1')])).measurements).toEqual([node('1'), node('2'), node('1')])
  })

  test.each([0, 1, 2])('goes on with what a crash after %i extensions left', async (failAfter) => {
    const register = new Register()
    register.failAfter = failAfter
    await expect(new OwnLogKeeper(path, register).measure([node('1'), rewriter('1')])).rejects.toThrow('killed')
    register.failAfter = Number.POSITIVE_INFINITY
    const log = await held(register, [node('1'), rewriter('1')])
    expect(log.begin.register).toBe('0'.repeat(64))
    expect(log.measurements).toHaveLength(2)
    expect(register.extensions).toBe(3)
  })

  test('begins anew when the TPM was started again', async () => {
    const register = new Register()
    await held(register, [node('1')])
    register.value = new Uint8Array(32)
    register.resetCount = 2
    const log = await held(register, [node('2')])
    expect(log).toMatchObject({ begin: { register: '0'.repeat(64), resetCount: 2 }, measurements: [node('2')] })
  })

  test.each([
    ['is gone', () => rm(path)],
    ['is cut off', async () => writeFile(path, (await readFile(path)).subarray(0, -5))],
    ['was changed', async () => writeFile(path, (await readFile(path, 'utf8')).replace('"14"', '"15"'))],
  ])('begins from what the register holds when its file %s', async (_what, damage) => {
    const register = new Register()
    await held(register, [node('1')])
    const before = Buffer.from(register.value).toString('hex')
    await damage()
    expect((await held(register, [node('1')])).begin.register).toBe(before)
  })

  test('begins anew behind what somebody else extended in between, and gives up when that goes on', async () => {
    const register = new Register()
    register.strangers = 1
    expect((await held(register, [node('1')])).begin.register).not.toBe('0'.repeat(64))
    register.strangers = 100
    await expect(new OwnLogKeeper(path, register).measure([node('2')])).rejects.toMatchObject({ code: 'TPM_FAILED' })
  })

  test('takes one measurement after the other', async () => {
    const register = new Register()
    const keeper = new OwnLogKeeper(path, register)
    await Promise.all([1, 2, 3].map((n) => keeper.measure([node(String(n))])))
    expect(await held(register, [])).toMatchObject({ measurements: [node('1'), node('2'), node('3')] })
  })

  test('refuses a log that becomes too long', async () => {
    const keeper = new OwnLogKeeper(path, new Register())
    const files = Array.from({ length: 2000 }, (_, i) => ({
      name: `f${String(i).padStart(5, '0')}`,
      sha256: '0'.repeat(64),
    }))
    const sum = engineDigest(files, sha256)
    const engine = (version: string): OwnMeasurement => ({
      kind: 'engine',
      files,
      form: 'source',
      sha256: sum,
      version,
    })
    await keeper.measure([engine('1')])
    await keeper.measure([engine('2')])
    await expect(keeper.measure([engine('3')])).rejects.toMatchObject({ code: 'LIMIT' })
  })
})
