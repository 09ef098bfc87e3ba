/** What a release gives: the image and its credentials, confirmed by a witness; by operators where nothing else helps; by the TPM alone. */

import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Loader } from '../loading/types.ts'
import { answerRelease, readReleaseRequest } from '../operators/index.ts'
import { sealImage } from '../sealing/image/seal-image.ts'
import { Secret } from '../sealing/secret.ts'
import type { Service } from '../types.ts'
import { answering } from './control/answers.ts'
import type { ControlRequest } from './control/requests.ts'
import { statePaths } from './state/folder.ts'
import { agentOf, type Lab, type LabHost, makeLab, person, until } from './testing.ts'

let lab: Lab
afterEach(() => lab[Symbol.asyncDispose]())

const ask = (host: LabHost, request: ControlRequest): Promise<object> =>
  answering(agentOf(host), () => undefined)(request, {
    say: () => undefined,
    gone: new AbortController().signal,
  })

const KEY = new Uint8Array(randomBytes(32))

async function provisionWith(host: LabHost, files: Readonly<Record<string, Uint8Array>>): Promise<void> {
  const folder = join(lab.folder, `secrets-${host.name}`)
  mkdirSync(folder)
  const at = (name: string): string => join(folder, name)
  for (const [name, content] of Object.entries({ ...files, key: KEY })) writeFileSync(at(name), content)
  const credentials = Object.keys(files).map((name) => ({ name, path: at(name) }))
  await ask(host, { ask: 'provision', credentials, imageKeys: [{ version: 3, path: at('key') }] })
  rmSync(folder, { recursive: true })
}

describe('an image', () => {
  const builder = person('builder')
  const services: Service[] = [
    { name: 'web', after: ['db'], ready: { kind: 'started' }, credentials: ['password'] },
    { name: 'db', after: [], ready: { kind: 'started' }, credentials: [] },
    { name: 'elsewhere', after: [], ready: { kind: 'started' }, credentials: ['password'] },
  ]
  const payload = new Uint8Array(randomBytes(300_000))

  async function seal(version: number): Promise<string> {
    const [plain, target] = [join(lab.folder, 'plain'), join(lab.folder, `${version}.image`)]
    writeFileSync(plain, payload)
    using key = Secret.owning(KEY.slice())
    const about = { name: 'recovery', version, roster: 1, approvals: 0, services: ['web', 'db'] }
    await sealImage({ payload: plain, target, kind: 'bytes', key, about, sign: builder.signer.sign })
    return target
  }

  interface Seen {
    readonly payload: Buffer
    readonly services: readonly string[]
    readonly credentials: readonly string[]
  }

  function seeing(seen: Seen[]): Loader {
    return {
      name: 'vm',
      load: async ({ payload: path, services: given, credentialsOf, onStatus }) => {
        const named = given.map(({ name, after }) => `${name} after ${after.join()}`)
        const credentials = given.flatMap(({ name }) =>
          [...credentialsOf(name)].map(([key, { bytes }]) => `${name} ${key} ${Buffer.from(bytes).toString()}`),
        )
        seen.push({ payload: readFileSync(path), services: named, credentials })
        for (const { name } of given) onStatus({ name, state: 'ready', sinceWallMs: 1 })
        return { kind: 'ready', stop: async () => undefined }
      },
    }
  }

  test('is loaded after the release, when a witness saw which one it is, with the credentials of its services', async () => {
    lab = await makeLab({ plan: { services, imageSigners: [builder.signer.point] } })
    for (const host of lab.hosts) await lab.powerOn(host)
    const host = lab.host('h1')
    await Promise.all(
      lab.hosts.map((each) =>
        each === host
          ? provisionWith(each, { password: Buffer.from('open sesame') })
          : agentOf(each).life.provision([], undefined),
      ),
    )
    const seen: Seen[] = []
    const image = {
      path: await seal(3),
      memory: '/dev/shm',
      when: 'always' as const,
      loaderFor: async () => seeing(seen),
    }
    await lab.cut(host)
    await lab.powerOn(host, { image })
    await until(() => agentOf(host).stand().services.length === 2)
    expect(seen).toEqual([
      {
        payload: Buffer.from(payload),
        services: ['web after db', 'db after '],
        credentials: ['web password open sesame'],
      },
    ])
    expect(lab.hosts.some(({ lines }) => lines.some((line) => /^image seen.*"h1"/.test(line)))).toBe(true)
    await until(() => agentOf(host).stand().state === 'serving' && agentOf(host).stand().epoch === 2)
    expect(readFileSync(statePaths(host.state).credentials).includes('sesame')).toBe(false)

    // The floors were raised: an older image is not taken, and the host says why.
    await lab.cut(host)
    await lab.powerOn(host, { image: { ...image, path: await seal(2) } })
    await until(() => agentOf(host).stand().state === 'broken')
    expect(agentOf(host).stand().refusedBy).toMatch(/version 2/)
    expect(seen).toHaveLength(1)
  })
})

describe('operators', () => {
  test('release a host in a boot that nobody approved, once', async () => {
    lab = await makeLab()
    for (const host of lab.hosts) await lab.powerOn(host)
    await Promise.all(lab.hosts.map((host) => provisionWith(host, {})))
    const host = lab.host('h1')
    await lab.cut(host)
    await lab.powerOn(host, { release: 'rescue system' })
    const { life } = agentOf(host)
    await expect(life.useOperators([])).rejects.toMatchObject({ code: 'NOT_NOW' })
    const request = await readReleaseRequest(await life.askOperators(600), lab.signed.plan)
    const [ada, bob] = lab.operators
    const first = await answerRelease(request, ada.signer, ada.escrow)
    await expect(life.useOperators([first])).rejects.toMatchObject({ code: 'OPERATORS' })
    const both = [first, await answerRelease(request, bob.signer, bob.escrow)]
    await life.useOperators(both)
    expect(life.phase).toEqual({ kind: 'released', by: 'operators' })
    let key = new Uint8Array()
    await life.withKey(3, async ({ bytes }) => {
      key = bytes.slice()
    })
    expect(key).toEqual(KEY)
    await expect(life.useOperators(both)).rejects.toMatchObject({ code: 'NOT_NOW' })
  })
})

describe('a host in mode tpm-only', () => {
  test('comes back by its TPM alone, without a network', async () => {
    lab = await makeLab({ hosts: 1, plan: { mode: 'tpm-only' } })
    const [host] = lab.hosts
    await lab.powerOn(host)
    await provisionWith(host, {})
    await lab.cut(host)
    const agent = await lab.powerOn(host)
    expect(agent.address).toBeUndefined()
    expect(agent.life.phase).toEqual({ kind: 'released', by: 'tpm' })
    await until(() => agent.stand().epoch === 2)
    await agent.life.withKey(3, async ({ bytes }) => expect(bytes).toEqual(KEY))
  })

  test('does not come back in another boot', async () => {
    lab = await makeLab({ hosts: 1, plan: { mode: 'tpm-only' } })
    const [host] = lab.hosts
    await lab.powerOn(host)
    await provisionWith(host, {})
    await lab.cut(host)
    const agent = await lab.powerOn(host, { release: 'release of a thief' })
    expect(agent.life.phase).toEqual({ kind: 'refused', rule: 'boot' })
    expect(agent.stand().change[0]).toMatch(/boot what the plan approves/)
  })
})
