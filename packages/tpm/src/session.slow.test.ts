/** Sessions against swtpm: what is authorized, encrypted and audited, and what a wire-tapper sees. */

import {
  decodeTpmsAttest,
  equal,
  hex,
  sessionAuditDigest,
  STARTUP_CLEAR_ORDERLY,
  TPM_CAP,
  TPM_HT,
  TPM_PT,
  TPM_ST,
  utf8,
} from '@reprise/core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { hash } from './hashing.ts'
import {
  attestationKeyTemplate,
  Clear,
  connect,
  ContextLoad,
  ContextSave,
  Create,
  CreatePrimary,
  DictionaryAttackLockReset,
  DictionaryAttackParameters,
  ENDORSEMENT,
  type ExecuteOptions,
  flushAll,
  GetCapability,
  GetRandom,
  GetSessionAuditDigest,
  HierarchyChangeAuth,
  Load,
  type LoadedObject,
  LOCKOUT,
  type ObjectEntity,
  openObject,
  OWNER,
  ReadClock,
  readHandles,
  readProperties,
  sealedTemplate,
  SelfTest,
  SRK_P256,
  StartAuthSession,
  type StartAuthSessionRequest,
  swtpm,
  type Transport,
  Unseal,
  withAuth,
} from './index.ts'
import { killNow, testTpm, type TestTpm } from './software/testing.ts'

const SECRET = utf8('a secret of some length')
const PIN = utf8('pin\0')

let host: TestTpm
let srk: LoadedObject
beforeAll(async () => {
  host = await testTpm()
  srk = await host.tpm.execute(CreatePrimary({ primaryHandle: OWNER, inPublic: SRK_P256 }))
})
afterAll(() => host.dispose())
afterEach(async () => {
  expect((await readHandles(host.tpm, TPM_HT.HMAC_SESSION)).length).toBe(0)
})

async function seal(options: ExecuteOptions = {}): Promise<LoadedObject> {
  const inSensitive = { userAuth: PIN, data: SECRET }
  const wrapped = await host.tpm.execute(
    Create({ parentHandle: srk, inPublic: sealedTemplate(), inSensitive }),
    options,
  )
  return host.tpm.execute(
    Load({ parentHandle: srk, inPrivate: wrapped.outPrivate, inPublic: wrapped.outPublic, authValue: PIN }),
    options,
  )
}

describe('an HMAC session', () => {
  const kinds: readonly [string, () => Promise<Partial<StartAuthSessionRequest>>][] = [
    ['plain', () => Promise.resolve({})],
    ['of SHA-384', () => Promise.resolve({ authHash: 'sha384' })],
    ['salted by a P-256 storage key', () => Promise.resolve({ tpmKey: srk })],
    ['salted by an RSA endorsement key', async () => ({ tpmKey: await openObject(host.tpm, 0x81010001) })],
    ['salted by a P-384 endorsement key', async () => ({ tpmKey: await openObject(host.tpm, 0x81010016) })],
    ['bound to a hierarchy', () => Promise.resolve({ bind: OWNER })],
    ['bound to what it authorizes', () => Promise.resolve({ bind: srk })],
    ['salted and bound, with encryption', () => Promise.resolve({ tpmKey: srk, bind: srk, encrypt: true })],
  ]
  test.each(kinds)('%s authorizes, command after command', async (_, kind) => {
    await using session = await host.tpm.execute(StartAuthSession({ sessionType: 'hmac', ...(await kind()) }))
    await using sealed = await seal({ sessions: [session] })
    for (let i = 0; i < 3; i++) {
      const { outData } = await host.tpm.execute(Unseal({ itemHandle: sealed }), { sessions: [session] })
      expect(equal(outData, SECRET)).toBe(true)
    }
  })

  test('bound to a sealed object authorizes that object and others', async () => {
    await using sealed = await seal()
    for (const encrypt of [false, true]) {
      await using session = await host.tpm.execute(StartAuthSession({ sessionType: 'hmac', bind: sealed, encrypt }))
      const { outData } = await host.tpm.execute(Unseal({ itemHandle: sealed }), { sessions: [session] })
      expect(equal(outData, SECRET)).toBe(true)
      await using _other = await seal({ sessions: [session] })
    }
  })

  test('with the wrong authValue is refused, and goes on with the right one', async () => {
    await using sealed = await seal()
    await using session = await host.tpm.execute(StartAuthSession({ sessionType: 'hmac', tpmKey: srk }))
    const wrong = withAuth(sealed, utf8('guess'))
    await expect(host.tpm.execute(Unseal({ itemHandle: wrong }), { sessions: [session] })).rejects.toMatchObject({
      response: { name: 'TPM_RC_BAD_AUTH', about: { kind: 'session', number: 1 } },
    })
    const { outData } = await host.tpm.execute(Unseal({ itemHandle: sealed }), { sessions: [session] })
    expect(equal(outData, SECRET)).toBe(true)
  })

  test('encrypts beside another one that authorizes', async () => {
    await using sealed = await seal()
    await using authorizing = await host.tpm.execute(StartAuthSession({ sessionType: 'hmac', tpmKey: srk }))
    await using encrypting = await host.tpm.execute(
      StartAuthSession({ sessionType: 'hmac', tpmKey: srk, encrypt: true }),
    )
    for (const first of [authorizing, undefined]) {
      const { outData } = await host.tpm.execute(Unseal({ itemHandle: sealed }), { sessions: [first, encrypting] })
      expect(equal(outData, SECRET)).toBe(true)
    }
    const { randomBytes } = await host.tpm.execute(GetRandom({ bytesRequested: 16 }), { sessions: [encrypting] })
    expect(randomBytes.length).toBe(16)
  })

  test('follows the authValue that a command changes', async () => {
    await using session = await host.tpm.execute(StartAuthSession({ sessionType: 'hmac', tpmKey: srk, encrypt: true }))
    const newAuth = utf8('owner')
    await host.tpm.execute(HierarchyChangeAuth({ authHandle: OWNER, newAuth }), { sessions: [session] })
    const change = HierarchyChangeAuth({ authHandle: withAuth(OWNER, newAuth), newAuth: new Uint8Array() })
    await host.tpm.execute(change, { sessions: [session] })
  })

  test('and its objects survive being saved and loaded', async () => {
    const session = await host.tpm.execute(StartAuthSession({ sessionType: 'hmac', tpmKey: srk }))
    const { context } = await host.tpm.execute(ContextSave({ saveHandle: session.handle }))
    expect((await host.tpm.execute(ContextLoad({ context }))).loadedHandle).toBe(session.handle)
    await using sealed = await seal({ sessions: [session] })
    const saved = await host.tpm.execute(ContextSave({ saveHandle: sealed.handle }))
    await sealed.flush()
    const { loadedHandle } = await host.tpm.execute(ContextLoad(saved))
    const again: ObjectEntity = { handle: loadedHandle, name: sealed.name, public: sealed.public, authValue: PIN }
    expect(
      equal((await host.tpm.execute(Unseal({ itemHandle: again }), { sessions: [session] })).outData, SECRET),
    ).toBe(true)
    await session.flush()
    await flushAll(host.tpm)
    srk = await host.tpm.execute(CreatePrimary({ primaryHandle: OWNER, inPublic: SRK_P256 }))
  })
})

describe('on the wire', () => {
  /** Repeats the commands of `use` over a connection that is listened to. */
  async function overheard(use: (tpm: ReturnType<typeof connect>) => Promise<void>): Promise<string> {
    await host.tpm.close()
    const heard: string[] = []
    const inner = await host.swtpm.open()
    const tapped: Transport = {
      kind: 'test',
      async send(command) {
        const response = await inner.send(command)
        heard.push(hex(command), hex(response))
        return response
      },
      close: () => inner.close(),
    }
    await use(connect(tapped))
    await inner.close()
    host.tpm = connect(await host.swtpm.open())
    return heard.join(' ')
  }

  test.each([
    ['with encryption neither secret nor PIN is seen', true],
    ['without encryption both are seen', false],
  ])('%s', async (_, encrypt) => {
    const heard = await overheard(async (tpm) => {
      await using parent = await tpm.execute(CreatePrimary({ primaryHandle: OWNER, inPublic: SRK_P256 }))
      await using session = await tpm.execute(StartAuthSession({ sessionType: 'hmac', tpmKey: parent, encrypt }))
      const inSensitive = { userAuth: utf8('pinpin'), data: SECRET }
      const wrapped = await tpm.execute(Create({ parentHandle: parent, inPublic: sealedTemplate(), inSensitive }), {
        sessions: [session],
      })
      const { outPrivate, outPublic } = wrapped
      await using sealed = await tpm.execute(
        Load({ parentHandle: parent, inPrivate: outPrivate, inPublic: outPublic, authValue: utf8('pinpin') }),
      )
      await tpm.execute(Unseal({ itemHandle: sealed }), { sessions: [session] })
    })
    expect(heard.includes(hex(SECRET))).toBe(!encrypt)
    expect(heard.includes(hex(utf8('pinpin')))).toBe(!encrypt)
  })
})

describe('one owner', () => {
  test('serves callers that do not know of each other', async () => {
    await using session = await host.tpm.execute(StartAuthSession({ sessionType: 'hmac', tpmKey: srk, encrypt: true }))
    await using sealed = await seal()
    const caller = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        const { outData } = await host.tpm.execute(Unseal({ itemHandle: sealed }), { sessions: [session] })
        expect(equal(outData, SECRET)).toBe(true)
        await host.tpm.execute(ReadClock())
      }
    }
    await Promise.all([caller(), caller(), caller()])
  })

  test('gets an error for every command under way when the connection goes, and can connect again', async () => {
    const transport = await host.swtpm.open().then(async (waiting) => {
      await host.tpm.close()
      return waiting
    })
    const tpm = connect(transport)
    const commands = [1, 2, 3].map(() => tpm.execute(SelfTest({ fullTest: true })))
    await transport.close()
    const all = await Promise.allSettled(commands)
    for (const one of all) expect(one).toMatchObject({ status: 'rejected', reason: { code: 'TRANSPORT' } })
    host.tpm = connect(await host.swtpm.open())
    expect((await host.tpm.execute(ReadClock())).currentTime.clockInfo.resetCount).toBeGreaterThan(0)
  })
})

describe('protection against guessing', () => {
  test('takes the parameters it is given, and resets', async () => {
    const request = { lockHandle: LOCKOUT, newMaxTries: 31, newRecoveryTime: 600, lockoutRecovery: 86400 }
    await host.tpm.execute(DictionaryAttackParameters(request))
    await host.tpm.execute(DictionaryAttackLockReset({ lockHandle: LOCKOUT }))
    const properties = await readProperties(host.tpm, TPM_PT.LOCKOUT_COUNTER, 4)
    expect([...properties.values()]).toEqual([0, 31, 600, 86400])
  })
})

describe('an audit session', () => {
  test.each([
    ['a loss of power', false],
    ['a clean stop', true],
  ])('has the TPM sign whether it went down in an orderly way: %s', async (_, clean) => {
    await host.tpm.execute(ReadClock())
    if (clean) {
      await swtpm.stop(host.swtpm, { tpm: host.tpm })
    } else {
      await host.tpm.close()
      await killNow(host.swtpm)
    }
    host.swtpm = await swtpm.start(host.swtpm.folder)
    host.tpm = connect(await host.swtpm.open())
    srk = await host.tpm.execute(CreatePrimary({ primaryHandle: OWNER, inPublic: SRK_P256 }))
    await using ak = await host.tpm.execute(
      CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic: attestationKeyTemplate(utf8('audit')) }),
    )
    await using session = await host.tpm.execute(StartAuthSession({ sessionType: 'hmac', audit: true }))
    const command = GetCapability({
      capability: TPM_CAP.TPM_PROPERTIES,
      property: TPM_PT.STARTUP_CLEAR,
      propertyCount: 1,
    })
    const { raw, capabilityData } = await host.tpm.execute(command, { sessions: [session] })
    const request = {
      privacyAdminHandle: ENDORSEMENT,
      signHandle: ak,
      sessionHandle: session,
      qualifyingData: utf8('boot'),
    }
    const attest = decodeTpmsAttest((await host.tpm.execute(GetSessionAuditDigest(request))).attest)
    if (attest.type !== TPM_ST.ATTEST_SESSION_AUDIT) throw new Error('not an audit')
    const exchange = { ...command, names: [], responseParameters: raw }
    expect(hex(attest.attested.sessionDigest)).toBe(hex(sessionAuditDigest([exchange], { hash, algorithm: 'sha256' })))
    if (capabilityData.capability !== TPM_CAP.TPM_PROPERTIES) throw new Error('not properties')
    const flags = capabilityData.properties.get(TPM_PT.STARTUP_CLEAR) ?? 0
    expect((flags & STARTUP_CLEAR_ORDERLY) !== 0).toBe(clean)
  })
})

describe('TPM2_Clear', () => {
  test('in a session makes every key of the owner another one', async () => {
    await using session = await host.tpm.execute(StartAuthSession({ sessionType: 'hmac' }))
    await host.tpm.execute(Clear({ authHandle: LOCKOUT }), { sessions: [session] })
    const before = srk.name
    srk = await host.tpm.execute(CreatePrimary({ primaryHandle: OWNER, inPublic: SRK_P256 }))
    expect(hex(srk.name)).not.toBe(hex(before))
  })
})
