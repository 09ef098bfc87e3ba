/** What may go wrong on a host itself in the middle of everything: a full disk, a TPM that goes away, an image that is not there yet. */

import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { canonical } from '@reprise/core'
import { afterEach, describe, expect, test } from 'vitest'
import type { Loader } from '../loading/types.ts'
import { sealImage } from '../sealing/image/seal-image.ts'
import { Secret } from '../sealing/secret.ts'
import { runAgent } from './run.ts'
import { statePaths } from './state/folder.ts'
import { agentOf, bootTpm, killTpm, type Lab, type LabHost, makeLab, person, provisionAll, until } from './testing.ts'

const isRoot = process.getuid?.() === 0
/** Small, and with room for what a host without wards writes. */
const DISK_BYTES = 4 << 20

let lab: Lab
const mounts: string[] = []
afterEach(async () => {
  for (const host of lab.hosts) await lab.cut(host)
  for (const mount of mounts.splice(0)) execFileSync('umount', ['-l', mount])
  await lab[Symbol.asyncDispose]()
})

/** Puts the state of a host that is off on a disk of its own; its TPM stays where it is, as a chip would. */
function onSmallDisk({ state, tpm, name }: LabHost): { readonly fill: () => void; readonly clear: () => void } {
  const [before, chip] = [join(lab.folder, `${name}-before`), join(lab.folder, `${name}-tpm`)]
  renameSync(tpm, chip)
  renameSync(state, before)
  mkdirSync(state, { mode: 0o700 })
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES},mode=0700`, 'reprise-test', state])
  mounts.push(state)
  cpSync(before, state, { recursive: true })
  symlinkSync(chip, tpm)
  const ballast = join(state, 'ballast')
  return {
    fill: () => {
      // The last write ends where the disk does.
      expect(() => writeFileSync(ballast, new Uint8Array(DISK_BYTES))).toThrow('ENOSPC')
    },
    clear: () => rmSync(ballast),
  }
}

describe.runIf(isRoot)('a disk that is full', () => {
  test('while the host is released: it says so, begins anew by itself, and its halves are drawn anew', async () => {
    lab = await makeLab()
    await provisionAll(lab)
    const host = lab.host('h1')
    for (const each of lab.hosts) await lab.cut(each)
    const disk = onSmallDisk(host)
    await lab.powerOn(host)
    disk.fill()
    for (const each of lab.hosts) if (each !== host) await lab.powerOn(each)
    await until(() => agentOf(host).stand().state === 'broken')
    const { refusedBy, change, alarms, isReleased, judgement } = agentOf(host).stand()
    expect({ isReleased, judgement }).toEqual({ isReleased: false, judgement: null })
    expect(refusedBy).toMatch(/ENOSPC|no space/i)
    expect(change[0]).toMatch(/full disk/)
    expect(alarms.some(({ text }) => text.includes('tried again'))).toBe(true)
    disk.clear()
    await until(() => agentOf(host).stand().epoch === 2)
    expect(agentOf(host).stand()).toMatchObject({ isReleased: true, state: 'serving', judgement: 'recover' })
    // The others were not kept waiting by a witness that could write nothing.
    for (const each of lab.hosts) await until(() => agentOf(each).stand().isReleased)
  })

  test('while halves are drawn anew: the next heartbeat draws them', async () => {
    lab = await makeLab()
    await provisionAll(lab)
    const host = lab.host('h1')
    await lab.cut(host)
    const disk = onSmallDisk(host)
    let isFilled = false
    await lab.powerOn(host, {
      times: { heartbeatMs: 1000, observeMs: 5000, answerMs: 30_000 },
      // Full from the moment in which the new halves are in the TPM.
      afterStep: (step) => {
        if (step === 'sealed' && !isFilled) disk.fill()
        isFilled ||= step === 'sealed'
      },
    })
    await until(() => host.lines.some((line) => line.startsWith('failed') && line.includes('rotation')))
    expect(agentOf(host).stand()).toMatchObject({ isReleased: true, epoch: 1 })
    disk.clear()
    await until(() => agentOf(host).stand().epoch > 1)
  })

  test('before it starts: the agent ends and names the file', async () => {
    lab = await makeLab({ hosts: 1, plan: { mode: 'tpm-only' } })
    const [host] = lab.hosts
    await lab.powerOn(host)
    await agentOf(host).life.provision([], undefined)
    await lab.cut(host)
    const disk = onSmallDisk(host)
    disk.fill()
    await expect(lab.powerOn(host)).rejects.toMatchObject({
      message: expect.stringMatching(/no space|ENOSPC/i) as string,
    })
    disk.clear()
    expect((await lab.powerOn(host)).life.phase).toEqual({ kind: 'released', by: 'tpm' })
  })
})

test('a share that is damaged on disk is named with its digest, and the others are enough', async () => {
  lab = await makeLab()
  await provisionAll(lab)
  const [host, witness] = [lab.host('h1'), lab.host('h2')]
  await lab.cut(host)
  await lab.crash(witness)
  const path = statePaths(witness.state).witness
  const file = JSON.parse(readFileSync(path, 'utf8')) as {
    wards: { host: string; shares: { private: string }[] }[]
  }
  const share = file.wards.find((ward) => ward.host === host.name)?.shares[0]
  if (share === undefined) throw new Error('no share')
  // In the encrypted part.
  share.private = `${share.private.slice(0, -2)}${share.private.endsWith('00') ? '01' : '00'}`
  writeFileSync(path, `${canonical(file)}\n`)
  await lab.powerOn(witness)
  await lab.powerOn(host)
  await until(() => agentOf(host).stand().isReleased)
  await until(() =>
    agentOf(witness)
      .stand()
      .alarms.some(({ text }) => text.includes(path)),
  )
  const { alarms } = agentOf(witness).stand()
  const digest = createHash('sha256').update(Buffer.from(share.private, 'hex')).digest('hex')
  expect(alarms.find(({ text }) => text.includes(path))?.text).toMatch(new RegExp(`share of h1 .*${digest}`))
})

test('halves that came out in a boot are drawn anew, although the agent was killed before it came to that', async () => {
  lab = await makeLab()
  await provisionAll(lab)
  const host = lab.host('h1')
  await lab.cut(host)
  const broken = new Error('killed')
  const agent = await lab.powerOn(host, {
    afterStep: (step) => {
      if (step === 'sealed') throw broken
    },
  })
  await until(() => host.lines.some((line) => line.startsWith('failed') && line.includes('rotation')))
  expect(agent.stand()).toMatchObject({ isReleased: true, epoch: 1 })
  await lab.crash(host)
  expect((await lab.powerOn(host)).life.phase).toEqual({ kind: 'released', by: 'this-boot' })
  await until(() => agentOf(host).stand().epoch > 1)
})

test('an agent whose TPM goes away ends with that reason, and what it was is there again after a boot', async () => {
  lab = await makeLab({ hosts: 1, plan: { mode: 'tpm-only' } })
  const [host] = lab.hosts
  await lab.powerOn(host)
  await agentOf(host).life.provision([], undefined)
  await lab.cut(host)
  await bootTpm(host)
  const never = new AbortController()
  let isUp = false
  const running = runAgent({
    state: host.state,
    report: () => undefined,
    signal: never.signal,
    onStarted: () => (isUp = true),
  })
  const ended = running.catch((error: unknown) => error)
  await until(() => isUp)
  await killTpm(host)
  expect(await ended).toMatchObject({ code: 'TPM', message: expect.stringContaining('is gone') as string })
  expect((await lab.powerOn(host)).life.phase).toEqual({ kind: 'released', by: 'tpm' })
})

describe('an image', () => {
  const builder = person('builder')
  const KEY = new Uint8Array(randomBytes(32))

  async function seal(version: number, target: string): Promise<void> {
    const plain = join(lab.folder, 'plain')
    writeFileSync(plain, new Uint8Array(1000))
    using key = Secret.owning(KEY.slice())
    const about = { name: 'recovery', version, roster: 1, approvals: 0, services: [] }
    await sealImage({ payload: plain, target, kind: 'bytes', key, about, sign: builder.signer.sign })
  }
  const loader: Loader = { name: 'vm', load: async () => ({ kind: 'ready', stop: async () => undefined }) }

  test('that is not there, or damaged, is loaded when it is brought; another one in the same boot is not', async () => {
    lab = await makeLab({ hosts: 1, plan: { mode: 'tpm-only', imageSigners: [builder.signer.point] } })
    const [host] = lab.hosts
    await lab.powerOn(host)
    await agentOf(host).life.provision(
      [1, 2].map((version) => ({ version, key: Secret.owning(KEY.slice()) })),
      undefined,
    )
    await lab.cut(host)
    const path = join(lab.folder, 'image')
    const image = { path, memory: '/dev/shm', when: 'always' as const, loaderFor: async () => loader }
    await lab.powerOn(host, { image })
    await until(() => agentOf(host).stand().state === 'broken')
    expect(agentOf(host).stand().refusedBy).toContain(path)
    writeFileSync(path, 'no image')
    await until(() => agentOf(host).stand().refusedBy?.includes('ENOENT') === false)
    expect(agentOf(host).stand().refusedBy).toContain(path)
    await seal(1, path)
    await until(() => agentOf(host).stand().state === 'serving')

    await lab.crash(host)
    await seal(2, path)
    await lab.powerOn(host, { image })
    await until(() => agentOf(host).stand().state === 'broken')
    expect(agentOf(host).stand().refusedBy).toMatch(/another one was measured in this boot/)
  })
})
