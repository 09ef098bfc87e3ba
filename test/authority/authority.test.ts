import { verify, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { equal, hex, TPM_ALG, TPM_RH, TPM_ST, TPMA_OBJECT } from '@reprise/core'
import { decodeAkCertificate, decodeCertificate, readRevocationList } from '@reprise/core/certificates'
import { auditAuthority, initAuthority, openAuthority } from '@reprise/host/authority'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AK_ATTRIBUTES } from '../record/imitation-tpm.ts'
import { nodeCrypto } from '../record/node-crypto.ts'
import { EK_ATTRIBUTES, imitationHost } from './imitation-host.ts'
import { AuthorityRoom, enrol, refusalOf } from './rooms.ts'

const DAY_MS = 86_400_000

let room: AuthorityRoom
beforeEach(async () => {
  room = await AuthorityRoom.create()
})
afterEach(() => room[Symbol.asyncDispose]())

describe('a certificate', () => {
  test('says what the authority saw, and node:crypto accepts it', async () => {
    room.tier = { tier: 'firmware', reason: 'the test says so' }
    const authority = await room.open({ approve: 'software' })
    const host = imitationHost()
    const { state, certificates, root } = await enrol(authority, host)
    expect(state).toBe('issued')
    const { hostName, statement, certificate } = decodeAkCertificate(certificates[0])
    expect(hostName).toBe('alpha')
    expect(statement).toEqual({ akName: host.akName, tier: 'firmware', ekName: host.ekName })
    expect(certificate.serial).toHaveLength(16)

    const [leaf, top] = [new X509Certificate(certificates[0]), new X509Certificate(root)]
    expect(leaf.checkIssued(top) && leaf.verify(top.publicKey)).toBe(true)
    expect(leaf.ca).toBe(false)
    expect(leaf.validToDate.getTime()).toBe(room.nowMs + 365 * DAY_MS)
  })

  test('carries the digest of the endorsement certificate', async () => {
    const authority = await room.open({ approve: 'software' })
    const host = imitationHost()
    // The root of the authority is a certificate like any other, and for another key.
    const ekCertificate = authority.settings.root
    const challenge = authority.challenge(host.request('alpha', { ekCertificate }), { origin: 'test' })
    expect(await refusalOf(challenge)).toBe('EK_CERTIFICATE')
    expect(
      await refusalOf(
        authority.challenge(host.request('alpha', { ekCertificate: Uint8Array.of(48, 0) }), { origin: 'test' }),
      ),
    ).toBe('EK_CERTIFICATE')
  })
})

describe('keys that are not fit are refused before a challenge', () => {
  const { restricted, sign, decrypt, fixedTPM } = TPMA_OBJECT
  test.each([
    ['an endorsement key that also signs', { ekAttributes: EK_ATTRIBUTES | sign }, 'EK_UNFIT'],
    ['an endorsement key that decrypts anything', { ekAttributes: EK_ATTRIBUTES & ~restricted }, 'EK_UNFIT'],
    ['an endorsement key that does not decrypt', { ekAttributes: EK_ATTRIBUTES & ~decrypt }, 'EK_UNFIT'],
    ['an endorsement key that can leave its TPM', { ekAttributes: EK_ATTRIBUTES & ~fixedTPM }, 'EK_UNFIT'],
    ['an endorsement key without a cipher', { ekSymmetric: { algorithm: TPM_ALG.NULL } }, 'EK_UNFIT'],
    ['an attestation key that signs anything', { akShape: { attributes: AK_ATTRIBUTES & ~restricted } }, 'AK_UNFIT'],
    ['an attestation key that can leave its TPM', { akShape: { attributes: AK_ATTRIBUTES & ~fixedTPM } }, 'AK_UNFIT'],
    ['an attestation key of another scheme', { akShape: { scheme: TPM_ALG.ECDH } }, 'AK_UNFIT'],
  ])('%s', async (_what, shape, code) => {
    const authority = await room.open({ approve: 'software' })
    const request = imitationHost(shape).request('alpha')
    expect(await refusalOf(authority.challenge(request, { origin: 'test' }))).toBe(code)
    expect(authority.state.requests.size).toBe(0)
  })

  test.each([
    ['no structure', Uint8Array.of(1, 2, 3)],
    ['a point that is not on its curve', (area: Uint8Array) => area.with(area.length - 1, area[area.length - 1] ^ 1)],
    ['a structure with something behind it', (area: Uint8Array) => Uint8Array.of(...area, 0)],
  ])('%s', async (_what, change) => {
    const authority = await room.open({ approve: 'software' })
    const request = imitationHost().request('alpha')
    const changed = (area: Uint8Array): Uint8Array => (typeof change === 'function' ? change(area) : change)
    const ek = { ...request, ekPublic: changed(request.ekPublic) }
    const ak = { ...request, akPublic: changed(request.akPublic) }
    expect(await refusalOf(authority.challenge(ek, { origin: 'test' }))).toBe('EK_UNFIT')
    expect(await refusalOf(authority.challenge(ak, { origin: 'test' }))).toBe('AK_UNFIT')
  })
})

describe('an answer', () => {
  test.each([
    ['another secret', { secret: new Uint8Array(32) }, 'SECRET'],
    ['the quote of another key', { quote: 'other key' }, 'QUOTE'],
    ['a quote with one byte changed', { quote: 'changed' }, 'QUOTE'],
    ['other register values', { quote: 'pcrs' }, 'QUOTE'],
    ['fewer registers than were quoted', { quote: 'fewer' }, 'QUOTE'],
  ])('with %s is refused, and uses the challenge up', async (_what, change, code) => {
    const authority = await room.open({ approve: 'software' })
    const host = imitationHost()
    const challenge = await authority.challenge(host.request('alpha'), { origin: 'test' })
    const other = imitationHost({ ak: 'other', ek: 'other' })
    const others = await authority.challenge(other.request('beta'), { origin: 'test' })
    const right = host.answer(challenge)
    const { quote } = right
    const { '0': _gone, ...fewer } = quote.pcrs.sha256
    const quotes: Record<string, typeof quote> = {
      'other key': other.answer(others).quote,
      changed: { ...quote, attest: quote.attest.with(20, quote.attest[20] ^ 1) },
      pcrs: { ...quote, pcrs: { sha256: { ...quote.pcrs.sha256, '3': new Uint8Array(32).fill(1) } } },
      fewer: { ...quote, pcrs: { sha256: fewer } },
    }
    const wrong = 'secret' in change ? { ...right, secret: change.secret } : { ...right, quote: quotes[change.quote] }
    expect(await refusalOf(authority.answer(wrong))).toBe(code)
    expect(await refusalOf(authority.answer(right))).toBe('USED')
    expect(await authority.decision(challenge.request)).toMatchObject({ state: 'rejected', certificates: [] })
  })

  test.each([
    ['another authority', { authority: new Uint8Array(32) }],
    ['another request', { request: new Uint8Array(32) }],
    ['another host', { hostId: new Uint8Array(32) }],
    ['another endorsement key', { ekName: new Uint8Array(34) }],
    ['another name', { name: 'beta' }],
    ['another secret', { secret: new Uint8Array(32) }],
  ])('whose quote is for %s is refused', async (_what, proof) => {
    const authority = await room.open({ approve: 'software' })
    const host = imitationHost()
    const challenge = await authority.challenge(host.request('alpha'), { origin: 'test' })
    expect(await refusalOf(authority.answer(host.answer(challenge, { proof })))).toBe('QUOTE')
  })

  test.each([
    [
      'is no quote',
      { type: TPM_ST.ATTEST_CERTIFY, attested: { name: new Uint8Array(34), qualifiedName: new Uint8Array(34) } },
    ],
    [
      'is of a key in the owner hierarchy',
      { qualifiedSigner: imitationHost({ akShape: { parent: TPM_RH.OWNER } }).akName },
    ],
  ])('whose attestation %s is refused', async (_what, attest) => {
    const authority = await room.open({ approve: 'software' })
    const host = imitationHost()
    const challenge = await authority.challenge(host.request('alpha'), { origin: 'test' })
    expect(await refusalOf(authority.answer(host.answer(challenge, { attest: attest as never })))).toBe('QUOTE')
  })

  test('counts once, in its time, for its own challenge', async () => {
    const authority = await room.open({ approve: 'software' })
    const host = imitationHost()
    const first = await authority.challenge(host.request('alpha'), { origin: 'test' })
    const second = await authority.challenge(host.request('alpha'), { origin: 'test' })
    const answer = host.answer(first)
    expect(await refusalOf(authority.answer({ ...answer, request: second.request }))).toBe('SECRET')
    expect((await authority.answer(answer)).state).toBe('issued')
    expect(await refusalOf(authority.answer(answer))).toBe('USED')
    const late = await authority.challenge(host.request('alpha'), { origin: 'test' })
    room.nowMs += 300_001
    expect(await refusalOf(authority.answer(host.answer(late)))).toBe('EXPIRED')
    expect(await refusalOf(authority.answer({ ...answer, request: new Uint8Array(32) }))).toBe('UNKNOWN')
  })

  test('is of no use to a host that cannot open the challenge', async () => {
    const authority = await room.open({ approve: 'software' })
    const challenge = await authority.challenge(imitationHost().request('alpha'), { origin: 'test' })
    expect(() => imitationHost({ ek: 'thief' }).answer(challenge)).toThrow('integrity')
    expect(() => imitationHost({ ak: 'other' }).answer(challenge)).toThrow('integrity')
  })
})

describe('approval', () => {
  test('waits for an operator, and then gives the certificate to the host that asks again', async () => {
    const authority = await room.open()
    const { state, request } = await enrol(authority, imitationHost())
    expect(state).toBe('waiting')
    const operator = await room.open()
    await expect(operator.approve('00')).rejects.toMatchObject({ code: 'AUTHORITY_NAME' })
    await operator.approve(hex(request).slice(0, 8), 'host-1')
    const decided = await authority.decision(request)
    expect(decided).toMatchObject({ state: 'issued', name: 'host-1' })
    expect(decodeAkCertificate(decided.certificates[0]).hostName).toBe('host-1')
    await expect(operator.reject(hex(request), 'no')).rejects.toMatchObject({ code: 'AUTHORITY_STATE' })
  })

  test('is refused with the words of the operator', async () => {
    const authority = await room.open()
    const { request } = await enrol(authority, imitationHost())
    await (await room.open()).reject(hex(request), 'not ours')
    expect(await authority.decision(request)).toMatchObject({ state: 'rejected', reason: 'not ours' })
    await expect(authority.approve(hex(request))).rejects.toMatchObject({ code: 'AUTHORITY_STATE' })
  })

  test('comes unasked for endorsement keys on the list, under the name that is listed', async () => {
    const authority = await room.open({ approve: 'known' })
    const host = imitationHost()
    expect((await enrol(authority, host)).state).toBe('waiting')
    await authority.allow(host.ekName, 'listed')
    expect(await refusalOf(enrol(authority, host, 'other'))).toBe('NAME')
    expect((await enrol(authority, host, 'listed')).state).toBe('issued')
    await authority.disallow(host.ekName)
    expect((await enrol(authority, imitationHost({ ek: 'b', ak: 'b' }), 'b')).state).toBe('waiting')
  })

  test('comes unasked from a tier on, and TPMs below another one are refused', async () => {
    const strict = await room.open({ approve: 'hardware', minTier: 'firmware' })
    expect(await refusalOf(enrol(strict, imitationHost()))).toBe('TIER')
    room.tier = { tier: 'firmware', reason: 'a cloud' }
    expect((await enrol(strict, imitationHost())).state).toBe('waiting')
    room.tier = { tier: 'hardware', reason: 'a chip' }
    const { certificates } = await enrol(strict, imitationHost({ ak: 'b', ek: 'b' }), 'b')
    expect(decodeAkCertificate(certificates[0]).statement.tier).toBe('hardware')
  })

  test('never gives one name to two hosts, nor a name that the pattern leaves out', async () => {
    const authority = await room.open({ approve: 'software', names: 'node-*.example' })
    expect(await refusalOf(enrol(authority, imitationHost(), 'alpha'))).toBe('NAME')
    expect((await enrol(authority, imitationHost(), 'node-1.example')).state).toBe('issued')
    const other = imitationHost({ ak: 'b', ek: 'b' })
    expect(await refusalOf(enrol(authority, other, 'node-1.example'))).toBe('NAME_TAKEN')
    room.nowMs += 366 * DAY_MS
    expect((await enrol(authority, other, 'node-1.example')).state).toBe('issued')
  })

  test('renews by itself while the certificate holds, and not under another name', async () => {
    const authority = await room.open()
    const host = imitationHost()
    await authority.approve(hex((await enrol(authority, host)).request))
    room.nowMs += 300 * DAY_MS
    const renewed = await enrol(authority, host)
    expect(renewed.state).toBe('issued')
    expect((await enrol(authority, host, 'beta')).state).toBe('waiting')
    room.nowMs += 366 * DAY_MS
    expect((await enrol(authority, host)).state).toBe('waiting')
  })

  test('asks about a second attestation key of one TPM, and then revokes the first', async () => {
    const authority = await room.open({ approve: 'software' })
    const [first, second] = [imitationHost(), imitationHost({ ak: 'second' })]
    const one = await enrol(authority, first)
    const two = await enrol(authority, second)
    expect([one.state, two.state]).toEqual(['issued', 'waiting'])
    await authority.approve(hex(two.request))
    const { list } = await readRevocationList(await authority.revocations(), [decodeCertificate(one.root)], nodeCrypto)
    expect(list.revoked).toMatchObject([{ akName: hex(first.akName), reason: 'superseded' }])
    expect(await refusalOf(enrol(authority, first))).toBe('AK_REVOKED')
    const third = imitationHost({ ak: 'third' })
    expect(await refusalOf(enrol(await room.open({ sameEk: 'refuse' }), third))).toBe('EK_TAKEN')
    const keeping = await room.open({ approve: 'software', sameEk: 'keep' })
    expect((await enrol(keeping, third)).state).toBe('issued')
    expect(keeping.valid()).toHaveLength(2)
  })

  test('refuses an attestation key that has a certificate with another endorsement key', async () => {
    const authority = await room.open({ approve: 'software' })
    await enrol(authority, imitationHost())
    expect(await refusalOf(enrol(authority, imitationHost({ ek: 'other' })))).toBe('EK_CHANGED')
  })

  test('of the newest request of a host counts: it does not wait twice', async () => {
    const authority = await room.open()
    const first = await enrol(authority, imitationHost())
    const second = await enrol(authority, imitationHost())
    expect((await authority.decision(first.request)).state).toBe('rejected')
    expect((await authority.decision(second.request)).state).toBe('waiting')
  })
})

describe('revocation', () => {
  test('is signed, and the key is refused from then on', async () => {
    const authority = await room.open({ approve: 'software' })
    const host = imitationHost()
    const { certificates, root } = await enrol(authority, host)
    const top = decodeCertificate(root)
    const empty = await readRevocationList(await authority.revocations(), [top], nodeCrypto)
    expect(empty.list).toMatchObject({ number: 1, revoked: [] })
    await authority.revoke('alpha', 'keyCompromise')
    const file = readFileSync(join(room.home, 'revocations.json'))
    const { list } = await readRevocationList(file, [top], nodeCrypto)
    const { serial } = decodeAkCertificate(certificates[0]).certificate
    expect(list).toMatchObject({ number: 2, authority: hex(authority.id) })
    expect(list.revoked).toMatchObject([{ serial: hex(serial), akName: hex(host.akName), reason: 'keyCompromise' }])
    expect(equal(await authority.revocations(), file)).toBe(true)
    expect(await refusalOf(enrol(authority, host))).toBe('AK_REVOKED')
    await expect(authority.revoke('alpha', 'unspecified')).rejects.toMatchObject({ code: 'AUTHORITY_NAME' })
  })

  test('lists are made anew before they are over, with a higher number', async () => {
    const authority = await room.open()
    const first = await authority.revocations()
    expect(equal(first, await authority.revocations())).toBe(true)
    room.nowMs += 4 * DAY_MS
    const second = JSON.parse(Buffer.from(await authority.revocations()).toString()) as {
      payload: string
      signature: string
    }
    const payload = Buffer.from(second.payload, 'base64')
    expect(JSON.parse(payload.toString())).toMatchObject({
      number: 2,
      nextUpdate: new Date(room.nowMs + 7 * DAY_MS).toISOString(),
    })
    // By node:crypto alone.
    const message = Buffer.concat([Buffer.from('reprise/revocations/v1\0'), payload])
    const key = new X509Certificate(readFileSync(join(room.home, 'root.pem'))).publicKey
    expect(verify('sha256', message, key, Buffer.from(second.signature, 'base64'))).toBe(true)
  })

  test('comes back when somebody changed or removed the file', async () => {
    const authority = await room.open()
    await authority.revocations()
    const path = join(room.home, 'revocations.json')
    writeFileSync(path, '{}')
    expect((await auditAuthority(authority)).findings).toHaveLength(1)
    await authority.revocations()
    expect((await auditAuthority(authority)).findings).toEqual([])
  })
})

describe('what no reader of the log would take', () => {
  test('does not get into it', async () => {
    const authority = await room.open()
    const { request } = await enrol(authority, imitationHost())
    const before = authority.log.length
    await expect(authority.allow(new Uint8Array(34), 'two words')).rejects.toMatchObject({ code: 'PROTOCOL' })
    await expect(authority.approve(hex(request), 'two words')).rejects.toMatchObject({ code: 'PROTOCOL' })
    await expect(authority.setPolicy({ names: 'x'.repeat(201) })).rejects.toMatchObject({ code: 'PROTOCOL' })
    await expect(authority.reject(hex(request), 'x'.repeat(1001))).rejects.toMatchObject({ code: 'PROTOCOL' })
    expect((await room.open()).log.length).toBe(before)
  })
})

describe('the key', () => {
  test('is one of a P-256 key in a file for its owner alone, encrypted when there is a passphrase', async () => {
    const home = join(room.home, 'encrypted')
    const { world } = room
    await initAuthority({ home, name: 'Locked', key: 'file', passphrase: 'correct horse', world })
    expect(readFileSync(join(home, 'key.pem'), 'utf8')).toContain('BEGIN ENCRYPTED PRIVATE KEY')
    await (await openAuthority({ home, passphrase: 'correct horse', world })).unlock()
    for (const wrong of [{}, { passphrase: 'wrong' }]) {
      const locked = await openAuthority({ home, ...wrong, world })
      await expect(locked.unlock()).rejects.toMatchObject({ code: 'AUTHORITY_KEY' })
      // Nothing is written that the key would be needed for.
      const before = locked.log.length
      await expect(locked.revocations()).rejects.toMatchObject({ code: 'AUTHORITY_KEY' })
      expect(locked.log.length).toBe(before)
    }
  })

  test('of another authority is refused', async () => {
    const home = join(room.home, 'other')
    await initAuthority({ home, name: 'Other', key: 'file', world: room.world })
    writeFileSync(join(room.home, 'key.pem'), readFileSync(join(home, 'key.pem')))
    await expect((await room.open()).unlock()).rejects.toMatchObject({ code: 'AUTHORITY_KEY' })
  })

  test('signs no certificate that outlives its root', async () => {
    const authority = await room.open({ approve: 'software', certificateDays: 10_000 })
    const { certificates, root } = await enrol(authority, imitationHost())
    expect(decodeCertificate(certificates[0]).notAfterMs).toBe(decodeCertificate(root).notAfterMs)
  })

  test('is not made where there is one', async () => {
    const { home, world } = room
    await expect(initAuthority({ home, name: 'Twice', key: 'file', world })).rejects.toMatchObject({
      code: 'AUTHORITY_HOME',
    })
    await expect(openAuthority({ home: join(home, 'none'), world })).rejects.toMatchObject({ code: 'AUTHORITY_HOME' })
  })
})
