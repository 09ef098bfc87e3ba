/** A host whose TPM is a character device; and TPMs that cannot hold an identity. */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ByteWriter, TPM_ALG, TPM_CAP, TPM_CC, TPM_ECC, utf8, ZERO_DIGEST } from '@reprise/core'
import { connect, ENDORSEMENT, type Entity, HierarchyChangeAuth, OWNER, swtpm } from '@reprise/tpm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type HostPaths, prepareHome } from '../home.ts'
import type { SigningHost } from '../signer/server.ts'
import { SoftwareHomes } from '../software-home.ts'
import { type Between, terminalTpm } from '../terminal-tpm.ts'
import { openHost } from './open-host.ts'

let homes: SoftwareHomes
beforeAll(async () => {
  homes = await SoftwareHomes.create()
})
afterAll(() => homes[Symbol.asyncDispose]())

interface Room {
  /** Of a software TPM that stands behind the device. */
  readonly folder: string
  readonly paths: HostPaths
}

async function room(): Promise<Room> {
  const home = await homes.home()
  await mkdir(join(home, 'own'), { mode: 0o700 })
  return { folder: join(home, 'tpm', 'swtpm'), paths: prepareHome(join(home, 'own')) }
}

const opened = (paths: HostPaths, devicePath: string): Promise<SigningHost> =>
  openHost({ paths, tpm: 'device', devicePath })

const codeOf = (command: Buffer): number => command.readUInt32BE(6)
const refusal = (code: number): Uint8Array => new ByteWriter().u16(0x8001).u32(10).u32(code).done()
const begin = { purpose: 'begin', runId: new Uint8Array(32), attempt: 1, previous: ZERO_DIGEST } as const

describe('a TPM that is a character device', () => {
  test('gets an identity, says how it was started, counts and quotes', async () => {
    const { folder, paths } = await room()
    await using device = await terminalTpm(folder)
    const host = await opened(paths, device.path)
    expect(host.facts.tpm.transport).toBe('device')
    expect((await host.boot()).statement.startup.response).toHaveLength(34)
    expect((await host.count(begin)).public).toHaveLength(28)
    expect((await host.quote(new Uint8Array(32))).signature.length).toBeGreaterThan(0)
    await host.close()
    const again = await opened(paths, device.path)
    expect(again.facts).toEqual(host.facts)
    await again.close()
  })

  test('is waited for when it has something else to do at every command', async () => {
    const codes = [0x922, 0x90a, 0x920, 0x908, 0x903]
    let last = ''
    const between: Between = async (command, ask) => {
      const isNew = command.toString('hex') !== last
      last = command.toString('hex')
      return isNew ? refusal(codes[command.length % codes.length]) : await ask()
    }
    const { folder, paths } = await room()
    await using device = await terminalTpm(folder, between)
    const host = await opened(paths, device.path)
    await host.count(begin)
    expect((await host.quote(new Uint8Array(32))).signature.length).toBeGreaterThan(0)
    await host.close()
  })

  test('may need 600 ms for each signature', async () => {
    const SIGNING: readonly number[] = [TPM_CC.Quote, TPM_CC.NV_Certify, TPM_CC.GetSessionAuditDigest]
    let signatures = 0
    const between: Between = async (command, ask) => {
      if (SIGNING.includes(codeOf(command))) {
        signatures += 1
        await new Promise((resolve) => setTimeout(resolve, 600))
      }
      return await ask()
    }
    const { folder, paths } = await room()
    await using device = await terminalTpm(folder, between)
    const host = await opened(paths, device.path)
    await host.boot()
    await host.count(begin)
    await host.quote(new Uint8Array(32))
    await host.quote(new Uint8Array(32))
    // The statement about the start is made once.
    expect(signatures).toBe(5)
    await host.close()
  })

  test('may lose the session of a statement to a resource manager', async () => {
    let lost = 0
    const between: Between = async (command, ask) =>
      codeOf(command) === TPM_CC.GetSessionAuditDigest && lost++ < 2 ? refusal(0x918) : await ask()
    const { folder, paths } = await room()
    await using device = await terminalTpm(folder, between)
    const host = await opened(paths, device.path)
    expect(lost).toBe(3)
    await host.close()
  })

  test('that is unplugged is said to be gone', async () => {
    const { folder, paths } = await room()
    await using device = await terminalTpm(folder)
    const host = await opened(paths, device.path)
    await device.unplug()
    await expect(host.quote(new Uint8Array(32))).rejects.toMatchObject({
      code: 'TRANSPORT',
      message: expect.stringContaining(device.path) as string,
      hint: expect.stringContaining('dmesg') as string,
    })
    await host.close().catch(() => undefined)
    await expect(opened(paths, device.path)).rejects.toMatchObject({ code: 'TPM_MISSING' })
  })
})

/** Answers TPM2_GetCapability for one capability with this list. */
function having(capability: number, list: (writer: ByteWriter) => ByteWriter): Between {
  return async (command, ask) => {
    if (codeOf(command) !== TPM_CC.GetCapability || command.readUInt32BE(10) !== capability) return await ask()
    const body = list(new ByteWriter().u8(0).u32(capability)).done()
    return new ByteWriter()
      .u16(0x8001)
      .u32(10 + body.length)
      .u32(0)
      .raw(body)
      .done()
  }
}

describe('an identity is refused by a TPM', () => {
  test.each<[string, Between, string]>([
    [
      'without P-256',
      having(TPM_CAP.ECC_CURVES, (list) => list.u32(1).u16(TPM_ECC.NIST_P384)),
      'no keys on the curve P-256',
    ],
    ['without ECC', having(TPM_CAP.ALGS, (list) => list.u32(1).u16(TPM_ALG.RSA).u32(9)), 'does not know ECC'],
    [
      'whose SHA-256 registers are off',
      having(TPM_CAP.PCRS, (list) =>
        list
          .u32(1)
          .u16(TPM_ALG.SHA1)
          .u8(3)
          .raw(Uint8Array.of(255, 255, 255)),
      ),
      'no SHA-256 bank',
    ],
  ])('%s, by name, and nothing is made in it', async (_, between, lacks) => {
    const { folder, paths } = await room()
    const made: number[] = []
    await using device = await terminalTpm(folder, async (command, ask) => {
      made.push(codeOf(command))
      return await between(command, ask)
    })
    await expect(opened(paths, device.path)).rejects.toMatchObject({
      code: 'TPM_UNFIT',
      message: expect.stringContaining(lacks) as string,
      hint: expect.stringContaining('REPRISE_TPM=software') as string,
    })
    expect(made).not.toContain(TPM_CC.CreatePrimary)
  })

  test('without room for a counter', async () => {
    const { folder, paths } = await room()
    await using device = await terminalTpm(folder, async (command, ask) =>
      codeOf(command) === TPM_CC.NV_DefineSpace ? refusal(0x14b) : await ask(),
    )
    await expect(opened(paths, device.path)).rejects.toMatchObject({
      code: 'TPM_UNFIT',
      hint: expect.stringContaining('tpm2_nvundefine') as string,
    })
  })

  const setAuth = async (folder: string, authHandle: Entity): Promise<void> => {
    const running = await swtpm.start(folder)
    const tpm = connect(await running.open())
    await tpm.execute(HierarchyChangeAuth({ authHandle, newAuth: utf8('theirs') }))
    await swtpm.stop(running, { tpm })
  }
  const locked = (name: string): object => ({
    code: 'TPM_LOCKED',
    message: expect.stringContaining(`The ${name} hierarchy`) as string,
    hint: expect.stringContaining(`tpm2_changeauth -c ${name}`) as string,
  })

  test.each<[string, Entity]>([
    ['owner', OWNER],
    ['endorsement', ENDORSEMENT],
  ])('whose %s hierarchy has a password', async (name, authHandle) => {
    const { folder, paths } = await room()
    await setAuth(folder, authHandle)
    await using device = await terminalTpm(folder)
    await expect(opened(paths, device.path)).rejects.toMatchObject(locked(name))
  })

  test('whose endorsement hierarchy got a password later, and signs no more', async () => {
    const { folder, paths } = await room()
    {
      await using device = await terminalTpm(folder)
      await (await opened(paths, device.path)).close()
    }
    await setAuth(folder, ENDORSEMENT)
    await using device = await terminalTpm(folder)
    await expect(opened(paths, device.path)).rejects.toMatchObject(locked('endorsement'))
  })
})
