/** The supervisor against real swtpm: starting, sharing, dying, and what is left afterwards. */

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { hex, TPM_ALG, TPMA_NV } from '@reprise/core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  attestationKeyTemplate,
  connect,
  CreatePrimary,
  ENDORSEMENT,
  NvDefineSpace,
  NvIncrement,
  openNvIndex,
  openObject,
  OWNER,
  ReadClock,
  readNv,
  type Tpm,
} from '../index.ts'
import { manufactureBare } from './bare.ts'
import { backup, isManufactured, persist, STATE_FILE } from './folder.ts'
import { manufacture } from './manufacture.ts'
import { start, stop, type Swtpm } from './supervise.ts'
import { killNow } from './testing.ts'

const COUNTER = 0x01800100
let scratch: string
let folder: string
let running: Swtpm[] = []
let open: Tpm[] = []

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'reprise-swtpm-'))
  folder = join(scratch, 'tpm')
  await manufacture(folder)
})
afterEach(async () => {
  for (const tpm of open) await tpm.close()
  for (const swtpm of running) await stop(swtpm)
  open = []
  running = []
})
afterAll(() => rmSync(scratch, { recursive: true }))

async function started(where = folder): Promise<Swtpm> {
  const swtpm = await start(where)
  running.push(swtpm)
  return swtpm
}
async function connected(swtpm: Swtpm): Promise<Tpm> {
  const tpm = connect(await swtpm.open())
  open.push(tpm)
  return tpm
}
const processes = async (): Promise<number> => {
  const { stdout } = await promisify(execFile)('ps', ['-eo', 'args'])
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('/usr/bin/swtpm socket') && line.includes(`dir=${folder},`)).length
}

describe('manufacture', () => {
  test('leaves the state, the certificates of the authority, and none of its keys', () => {
    expect(readdirSync(join(folder, 'ca')).sort()).toEqual(['issuercert.pem', 'swtpm-localca-rootca-cert.pem'])
    expect(readdirSync(folder)).toContain(STATE_FILE)
    expect(readdirSync(folder)).not.toContain('setup')
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(readdirSync(scratch)).toEqual(['tpm'])
  })

  test('that is killed in the middle leaves nothing half, and the next one cleans up', async () => {
    const target = join(scratch, 'killed')
    const program = `import { manufacture } from ${JSON.stringify(new URL('./manufacture.ts', import.meta.url).href)}; await manufacture(${JSON.stringify(target)})`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore', detached: true })
    while (!readdirSync(scratch).some((name) => name.startsWith('killed.making-')))
      await new Promise((resolve) => setTimeout(resolve, 5))
    await new Promise((resolve) => setTimeout(resolve, 100))
    // The whole group: swtpm_setup would go on by itself.
    process.kill(-(child.pid ?? 0), 'SIGKILL')
    await once(child, 'exit')
    expect(await isManufactured(target)).toBe(false)
    expect(existsSync(target)).toBe(false)

    await manufacture(target)
    expect(await isManufactured(target)).toBe(true)
    expect(readdirSync(scratch).filter((name) => name.includes('making'))).toEqual([])
    rmSync(target, { recursive: true })
  })

  test('makes TPMs of one authority when it is given a folder for it', async () => {
    const caFolder = join(scratch, 'authority')
    const names = ['one', 'two'].map((name) => join(scratch, name))
    for (const name of names) await manufacture(name, { caFolder })
    expect(readdirSync(caFolder)).toContain('signkey.pem')
    const eks = []
    for (const name of names) {
      const tpm = await connected(await started(name))
      eks.push(hex((await openObject(tpm, 0x81010001)).name))
      await tpm.close()
    }
    expect(new Set(eks).size).toBe(2)
  })
})

describe('manufactureBare', () => {
  test('makes TPMs that share no key, and takes no folder that has one', async () => {
    const names: string[] = []
    for (const name of ['bare-1', 'bare-2']) {
      const bare = join(scratch, name)
      await manufactureBare(bare)
      expect(readdirSync(bare).filter((file) => !file.startsWith('.'))).toEqual([STATE_FILE])
      const swtpm = await start(bare)
      const tpm = connect(await swtpm.open())
      {
        await using key = await tpm.execute(
          CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic: attestationKeyTemplate(new Uint8Array(32)) }),
        )
        names.push(hex(key.name))
      }
      await stop(swtpm, { tpm })
      await expect(manufactureBare(bare)).rejects.toMatchObject({ code: 'STATE_EXISTS' })
    }
    expect(new Set(names).size).toBe(2)
  })
})

describe('start', () => {
  test('finds the swtpm that serves the folder', async () => {
    const first = await started()
    const tpm = await connected(first)
    const second = await start(folder)
    expect([first.started, second.started]).toEqual([true, false])
    expect(second.pid).toBe(first.pid)
    await tpm.close()
  })

  test('from several places at once starts one', async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => start(folder)))
    running.push(...all.slice(0, 1))
    expect(all.filter(({ started }) => started).length).toBe(1)
    expect(new Set(all.map(({ pid }) => pid)).size).toBe(1)
    expect(await processes()).toBe(1)
  })

  test('makes it outlive the program that started it', async () => {
    const module = JSON.stringify(new URL('./supervise.ts', import.meta.url).href)
    const program = `import { start } from ${module}; console.log((await start(${JSON.stringify(folder)})).pid)`
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program])
    const swtpm = await started()
    expect(swtpm).toMatchObject({ started: false, pid: Number(stdout) })
    const tpm = await connected(swtpm)
    await tpm.execute(ReadClock())
    await tpm.close()
  })

  test('removes the socket and the pid file that a killed one left', async () => {
    const first = await started()
    await killNow(first)
    expect(existsSync(first.socketPath)).toBe(true)
    writeFileSync(join(folder, 'swtpm.pid'), `${process.pid}\n`)
    const second = await started()
    expect(second.started).toBe(true)
    const tpm = await connected(second)
    await tpm.execute(ReadClock())
    await tpm.close()
  })

  test('says what swtpm said when the state is damaged', async () => {
    const damaged = join(scratch, 'damaged')
    await promisify(execFile)('cp', ['-r', folder, damaged])
    const whole = readFileSync(join(damaged, STATE_FILE))
    writeFileSync(join(damaged, STATE_FILE), whole.subarray(0, whole.length / 2))
    await expect(start(damaged)).rejects.toMatchObject({
      code: 'SWTPM_FAILED',
      hint: expect.stringContaining('backup') as string,
    })
  })
})

describe('stop', () => {
  test('is orderly: the clock goes on and is as safe as before, and a second stop does nothing', async () => {
    const first = await started()
    let tpm = await connected(first)
    const before = (await tpm.execute(ReadClock())).currentTime.clockInfo
    await stop(first, { tpm })
    await stop(first)
    tpm = await connected(await started())
    const after = (await tpm.execute(ReadClock())).currentTime.clockInfo
    expect(after).toMatchObject({ resetCount: before.resetCount + 1, restartCount: 0, safe: before.safe })
    expect(after.clock).toBeGreaterThanOrEqual(before.clock)
    await tpm.close()
  })
})

describe('the state', () => {
  const increment = async (tpm: Tpm): Promise<bigint> => {
    const nvIndex = await openNvIndex(tpm, COUNTER)
    await tpm.execute(NvIncrement({ authHandle: OWNER, nvIndex }))
    return valueOf(tpm)
  }
  const valueOf = async (tpm: Tpm): Promise<bigint> => {
    const bytes = await readNv(tpm, { authHandle: OWNER, nvIndex: await openNvIndex(tpm, COUNTER) })
    return new DataView(bytes.buffer).getBigUint64(0)
  }

  test('keeps every increment that was persisted, when swtpm is killed while it writes', async () => {
    let swtpm = await started()
    let tpm = await connected(swtpm)
    const attributes = TPMA_NV.COUNTER | TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE | TPMA_NV.NO_DA
    const publicInfo = {
      nvIndex: COUNTER,
      nameAlg: TPM_ALG.SHA256,
      attributes,
      authPolicy: new Uint8Array(),
      dataSize: 8,
    }
    await tpm.execute(NvDefineSpace({ authHandle: OWNER, publicInfo }))
    let persisted = await increment(tpm)
    await persist(folder)
    for (let round = 0; round < 10; round++) {
      const writing = (async () => {
        for (;;) {
          const value = await increment(tpm)
          await persist(folder)
          persisted = value
        }
      })().catch(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, 5 + 7 * round))
      await killNow(swtpm)
      await writing
      swtpm = await start(folder)
      tpm = await connected(swtpm)
      expect(await valueOf(tpm)).toBeGreaterThanOrEqual(persisted)
    }
    await tpm.close()
    running.push(swtpm)
  })

  test('has a backup that is a TPM of its own', async () => {
    const swtpm = await started()
    const tpm = await connected(swtpm)
    const before = await increment(tpm)
    await persist(folder)
    const copy = await backup(folder)
    await increment(tpm)
    await tpm.close()
    expect(statSync(copy).mode & 0o777).toBe(0o600)

    const restored = join(scratch, 'restored')
    await promisify(execFile)('mkdir', ['-m', '700', restored])
    copyFileSync(copy, join(restored, STATE_FILE))
    const other = await connected(await started(restored))
    expect(await valueOf(other)).toBe(before)
    await other.close()
  })
})
