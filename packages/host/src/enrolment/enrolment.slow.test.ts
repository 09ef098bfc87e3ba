/** Hosts with software TPMs at an authority, for each kind of endorsement key; tpm2-tools as the second opinion. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ByteReader, decodeTpmtPublic, equal, hex, TPM_ALG, TPM_ECC } from '@reprise/core'
import { decodeAkCertificate } from '@reprise/core/certificates'
import { connect, makeCredential, NvUndefineSpace, openNvIndex, PLATFORM, swtpm } from '@reprise/tpm'
import { layTpm } from '@reprise/tpm/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Authority,
  type AuthorityServer,
  initAuthority,
  nodeWorld,
  openAuthority,
  type Policy,
  serveAuthority,
} from '../authority/index.ts'
import { processesOf, SoftwareHomes } from '../software-home.ts'
import { connectSigner, initHost, type Signer } from '../signer/client.ts'
import { type Enrolled, enrolHost, type EnrolOptions } from './enrol.ts'
import { answerChallenge, makeRequest, takeDecision } from './steps.ts'

let homes: SoftwareHomes
let authorities: string
beforeAll(async () => {
  homes = await SoftwareHomes.create()
  authorities = join(await homes.home(), 'authorities')
})
afterAll(() => homes[Symbol.asyncDispose]())

const EK_CERTIFICATES = { p384: 0x01c00016, rsa: 0x01c00002 }
type EkKind = 'RSA-2048' | 'P-384' | 'P-256'

/** A home whose TPM carries certificates only for that kind of endorsement key; for P-256 swtpm makes none. */
async function homeWith(kind: EkKind): Promise<string> {
  const home = await homes.home()
  const without = { 'P-384': [], 'RSA-2048': [EK_CERTIFICATES.p384], 'P-256': Object.values(EK_CERTIFICATES) }[kind]
  const running = await swtpm.start(join(home, 'tpm', 'swtpm'))
  const tpm = connect(await running.open())
  for (const index of without)
    await tpm.execute(NvUndefineSpace({ authHandle: PLATFORM, nvIndex: await openNvIndex(tpm, index) }))
  await swtpm.stop(running, { tpm })
  return home
}

/** An authority that serves, and ends with the test. */
async function serving(policy: Partial<Policy>, key: 'file' | 'tpm-software' = 'file') {
  const home = join(authorities, randomBytes(4).toString('hex'))
  await initAuthority({ home, name: 'Test authority', key, world: nodeWorld })
  const authority = await openAuthority({ home, world: nodeWorld })
  await authority.setPolicy(policy)
  const server = await serveAuthority(authority, { host: '127.0.0.1', port: 0, log: () => undefined })
  return { authority, server, home, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

async function enrolAt(
  { server }: { readonly server: AuthorityServer },
  home: string,
  more: Partial<EnrolOptions> = {},
): Promise<Enrolled> {
  await using signer = await connectSigner({ home, tpm: 'software' })
  const usual = { name: 'alpha', pin: null, renew: false, waitMs: 0, now: new Date() }
  return await enrolHost({ home, signer, authority: server.url, ...usual, ...more })
}

function ekKindOf(authority: Authority): unknown {
  const [{ ekPublic }] = [...authority.state.requests.values()]
  const ek = decodeTpmtPublic(ekPublic)
  return ek.type === TPM_ALG.RSA
    ? `RSA-${ek.parameters.keyBits}`
    : ek.type === TPM_ALG.ECC
      ? ek.parameters.curveId
      : ek.type
}

describe('a host with an endorsement key', () => {
  test.each([
    ['RSA-2048', 'RSA-2048', true],
    ['P-384', TPM_ECC.NIST_P384, true],
    ['P-256', TPM_ECC.NIST_P256, false],
  ] as const)('on %s gets a certificate, and keeps it', async (kind, ek, hasCertificate) => {
    const home = await homeWith(kind)
    await using at = await serving({ approve: 'software' })
    const enrolled = await enrolAt(at, home, { pin: at.authority.id })
    expect(enrolled).toMatchObject({
      state: 'issued',
      facts: { hostName: 'alpha', tier: 'software', authorityName: 'Test authority' },
    })
    expect(ekKindOf(at.authority)).toBe(ek)
    await using signer = await connectSigner({ home, tpm: 'software' })
    const { certificates, akName, ekCertificate } = signer.host
    const { statement } = decodeAkCertificate(certificates[0])
    expect(equal(statement.akName, akName)).toBe(true)
    expect([ekCertificate !== null, statement.ekCertificate !== undefined]).toEqual([hasCertificate, hasCertificate])
    expect((await signer.show()).enrolment).toMatchObject({ name: 'alpha', authority: hex(at.authority.id) })
    expect(await enrolAt(at, home)).toMatchObject({ state: 'enrolled' })
  })

  test('opens what tpm2_makecredential hides, and tpm2_activatecredential opens what we hide', async () => {
    const home = await homeWith('RSA-2048')
    const [run, at] = [promisify(execFile), (name: string) => join(home, name)]
    const signer = await connectSigner({ home, tpm: 'software' })
    const { ekPublic } = await makeRequest(signer, 'alpha')
    const { akName, akPublic } = signer.host
    const secret = randomBytes(32)
    await writeFile(at('ek.pub'), Buffer.concat([Buffer.from([ekPublic.length >> 8, ekPublic.length & 255]), ekPublic]))
    await writeFile(at('secret'), secret)
    const made = ['-T', 'none', '-u', at('ek.pub'), '-s', at('secret'), '-n', hex(akName), '-o', at('theirs')]
    await run('tpm2_makecredential', made)
    const theirs = new ByteReader(await readFile(at('theirs')))
    theirs.raw(8)
    const [credentialBlob, encryptedSecret] = [theirs.tpm2b(), theirs.tpm2b()]
    const proof = await signer.prove({
      authority: new Uint8Array(32),
      id: new Uint8Array(32),
      name: 'alpha',
      credentialBlob,
      encryptedSecret,
    })
    expect(hex(proof.secret)).toBe(hex(secret))
    await signer.stop()
    await signer.close()
    // It takes its TPM along when it goes.
    while ((await processesOf(home, 'signer')).length > 0) await new Promise((resolve) => setTimeout(resolve, 20))

    const ours = makeCredential({ key: decodeTpmtPublic(ekPublic), objectName: akName, credential: secret })
    const sized = (bytes: Uint8Array): Buffer =>
      Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
    await writeFile(
      at('ours'),
      Buffer.concat([Buffer.from('badcc0de00000001', 'hex'), sized(ours.credentialBlob), sized(ours.secret)]),
    )
    const running = await swtpm.start(join(home, 'tpm', 'swtpm'))
    await writeFile(
      at('relay.cjs'),
      `const s = require('net').connect(${JSON.stringify(running.socketPath)}); process.stdin.pipe(s); s.pipe(process.stdout)\n`,
    )
    const env = { ...process.env, TPM2TOOLS_TCTI: `cmd:${process.execPath} ${at('relay.cjs')}` }
    const tool = (program: string, ...words: string[]) => run(program, words, { env, cwd: home })
    await tool('tpm2_startauthsession', '--policy-session', '-S', 'session')
    await tool('tpm2_policysecret', '-S', 'session', '-c', 'e')
    const ak = ['-c', '0x81008001', '-p', `hex:${hex(await readFile(join(home, 'tpm', 'ak.auth')))}`]
    await tool(
      'tpm2_activatecredential',
      ...ak,
      '-C',
      '0x81010001',
      '-P',
      'session:session',
      '-i',
      'ours',
      '-o',
      'opened',
    )
    expect(hex(await readFile(at('opened')))).toBe(hex(secret))
    expect(akPublic.length).toBeGreaterThan(0)
    await swtpm.stop(running)
  })

  test('does not open a challenge for another host, and says so', async () => {
    const [one, two] = [await homeWith('P-384'), await homeWith('P-384')]
    await using at = await serving({ approve: 'software' })
    await using first = await connectSigner({ home: one, tpm: 'software' })
    await using second = await connectSigner({ home: two, tpm: 'software' })
    const challenge = await at.authority.challenge(await makeRequest(first, 'alpha'), { origin: 'test' })
    await expect(answerChallenge(second, challenge, null)).rejects.toMatchObject({ code: 'ENROLMENT_REFUSED' })
    expect((await at.authority.answer(await answerChallenge(first, challenge, null))).state).toBe('issued')
  })

  test('counts for what the chain of its certificate says, by a root of the operator', async () => {
    const home = await homeWith('P-384')
    const ca = await readFile(join(home, 'tpm', 'swtpm', 'ca', 'swtpm-localca-rootca-cert.pem'))
    const { X509Certificate } = await import('node:crypto')
    const intermediate = new Uint8Array(
      new X509Certificate(await readFile(join(home, 'tpm', 'swtpm', 'ca', 'issuercert.pem'))).raw,
    )
    const certificate = new Uint8Array(new X509Certificate(ca).raw)
    await using signer = await connectSigner({ home, tpm: 'software' })
    const request = { ...(await makeRequest(signer, 'alpha')), ekIssuers: [intermediate] }
    const ekRoots = [{ certificate, tier: 'firmware' as const }]
    await using known = await serving({ approve: 'software', ekRoots })
    await using unknown = await serving({ approve: 'software' })
    for (const [{ authority }, tier] of [
      [known, 'firmware'],
      [unknown, 'software'],
    ] as const) {
      const challenge = await authority.challenge(request, { origin: 'test' })
      const { certificates } = await authority.answer(await answerChallenge(signer, challenge, authority.id))
      expect(decodeAkCertificate(certificates[0]).statement.tier).toBe(tier)
    }
  })
})

describe('what a host keeps', () => {
  const twoHosts = async () => {
    const homesOfTwo = [await homes.home(), await homes.home()]
    return await Promise.all(homesOfTwo.map((home) => connectSigner({ home, tpm: 'software' })))
  }

  const issue = async (authority: Authority, signer: Signer) =>
    authority.answer(
      await answerChallenge(
        signer,
        await authority.challenge(await makeRequest(signer, 'alpha'), { origin: 'test' }),
        authority.id,
      ),
    )

  test('is its own certificate of the authority that it asked for, and nothing else', async () => {
    const [one, two] = await twoHosts()
    await using at = await serving({ approve: 'software', sameEk: 'keep' })
    await using elsewhere = await serving({ approve: 'software' })
    const decision = await issue(at.authority, one)
    await expect(two.keep(decision)).rejects.toMatchObject({ code: 'CERTIFICATE' })
    await expect(takeDecision(two, decision, at.authority.id)).rejects.toMatchObject({ code: 'CERTIFICATE' })
    await expect(takeDecision(one, decision, elsewhere.authority.id)).rejects.toMatchObject({
      code: 'AUTHORITY_UNKNOWN',
    })
    const { root } = elsewhere.authority.settings
    await expect(takeDecision(one, { ...decision, root }, elsewhere.authority.id)).rejects.toMatchObject({
      code: 'CERTIFICATE',
    })
    await expect(takeDecision(one, { ...decision, certificates: [] }, at.authority.id)).rejects.toMatchObject({
      code: 'CERTIFICATE',
    })
    expect((await one.show()).enrolment).toBeNull()
    await takeDecision(one, decision, at.authority.id)
    expect((await one.show()).enrolment).toMatchObject({ name: 'alpha' })
    await Promise.all([one.close(), two.close()])
  })

  test('stays when the signer ends, goes with the identity, and is never passed over when it is damaged', async () => {
    const home = await homes.home()
    await using at = await serving({ approve: 'software' })
    await enrolAt(at, home)
    const first = await connectSigner({ home, tpm: 'software' })
    await first.stop()
    await first.close()
    const second = await connectSigner({ home, tpm: 'software' })
    expect(second.host.certificates).toHaveLength(1)
    await second.stop()
    await second.close()
    const path = join(home, 'tpm', 'enrolment.json')
    const kept = await readFile(path, 'utf8')
    await writeFile(path, kept.replace(/"certificates": \[[^\]]*\]/, '"certificates": []'))
    await expect(connectSigner({ home, tpm: 'software' })).rejects.toMatchObject({ code: 'IDENTITY_DAMAGED' })
    await writeFile(path, kept)
    const renewed = await initHost({ home, tpm: 'software', renew: true })
    expect(renewed.host.certificates).toEqual([])
    await renewed.close()
  })
})

describe('enrolling', () => {
  test('waits for an operator, over interruptions, without asking twice', async () => {
    const home = await homes.home()
    await using at = await serving({ approve: 'manual' })
    const first = await enrolAt(at, home)
    const second = await enrolAt(at, home)
    expect(first).toMatchObject({ state: 'waiting' })
    expect(second).toEqual(first)
    const waiting = enrolAt(at, home, { waitMs: 60_000 })
    await at.authority.approve((first as { request: string }).request)
    expect(await waiting).toMatchObject({ state: 'issued' })
    await expect(readFile(join(home, 'tpm', 'enrolment-pending.json'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('begins anew after a no, and says why it was one', async () => {
    const home = await homes.home()
    await using at = await serving({ approve: 'manual' })
    const { request } = (await enrolAt(at, home)) as { request: string }
    await at.authority.reject(request, 'not ours')
    await expect(enrolAt(at, home)).rejects.toMatchObject({
      code: 'ENROLMENT_REFUSED',
      message: expect.stringContaining('not ours') as string,
    })
    expect(await enrolAt(at, home)).toMatchObject({ state: 'waiting' })
  })

  test('stays with the authority that it knows, unless it is told of another', async () => {
    const home = await homes.home()
    await using first = await serving({ approve: 'software' })
    await using second = await serving({ approve: 'software' })
    await enrolAt(first, home)
    await expect(enrolAt(second, home, { renew: true })).rejects.toMatchObject({ code: 'AUTHORITY_UNKNOWN' })
    await expect(enrolAt(second, home, { pin: first.authority.id, renew: true })).rejects.toMatchObject({
      code: 'AUTHORITY_UNKNOWN',
    })
    expect(await enrolAt(second, home, { pin: second.authority.id })).toMatchObject({ state: 'issued' })
  })

  test('renews in the last third of the time, or when it is told to', async () => {
    const home = await homes.home()
    await using at = await serving({ approve: 'software', certificateDays: 30 })
    const serial = async (more: Partial<EnrolOptions>): Promise<unknown> => {
      const enrolled = await enrolAt(at, home, more)
      return enrolled.state === 'issued' ? enrolled.facts.serial : enrolled.state
    }
    const first = await serial({})
    const days = (count: number): Date => new Date(Date.now() + count * 86_400_000)
    expect(await serial({ now: days(15) })).toBe('enrolled')
    const second = await serial({ now: days(25) })
    expect(second).not.toBe('enrolled')
    expect(new Set([first, second, await serial({ renew: true })]).size).toBe(3)
  })

  test('tells an address where nobody answers, and one that is no authority', async () => {
    const home = await homes.home()
    await using at = await serving({ approve: 'software' })
    const nobody = { server: { url: 'http://127.0.0.1:1' } as AuthorityServer }
    await expect(enrolAt(nobody, home)).rejects.toMatchObject({ code: 'AUTHORITY_UNREACHABLE' })
    const lost = { server: { url: `${at.server.url}/elsewhere` } as AuthorityServer }
    await expect(enrolAt(lost, home)).rejects.toMatchObject({ code: 'ENROLMENT_REFUSED' })
  })
})

test('an authority whose key is in a software TPM issues what verifies, and is nothing without it', async () => {
  const home = await homes.home()
  await using at = await serving({ approve: 'software' }, 'tpm-software')
  expect(await enrolAt(at, home)).toMatchObject({ state: 'issued' })
  expect((await at.authority.revoke('alpha', 'unspecified')).length).toBe(1)
  const { settings } = at.authority
  expect(settings.key).toMatchObject({ kind: 'tpm', transport: 'swtpm' })
  await expect(readFile(join(at.home, 'key.pem'))).rejects.toMatchObject({ code: 'ENOENT' })
  await rm(join(at.home, 'swtpm'), { recursive: true })
  await layTpm(join(at.home, 'swtpm'), 1)
  const other = await openAuthority({ home: at.home, world: nodeWorld })
  await expect(other.unlock()).rejects.toMatchObject({ code: 'AUTHORITY_KEY' })
})
