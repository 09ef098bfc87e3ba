/** From endorsement certificate to quote, with swtpm, and with tpm2-tools as the second opinion. */

import { createPublicKey, type KeyObject, randomBytes, verify, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  concat,
  decodeTpmsAttest,
  decodeTpmtSignature,
  encodePcrSelection,
  equal,
  fromHex,
  hex,
  nvName,
  objectName,
  type PcrBanks,
  pcrDigest,
  qualifiedName,
  type RsaPublicArea,
  toPublicKey,
  TPM_ALG,
  TPM_HT,
  TPM_RH,
  TPM_ST,
  TPMA_NV,
  type TpmtPublic,
  utf8,
} from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hash } from './hashing.ts'
import {
  ActivateCredential,
  type Attested,
  attestationKeyTemplate,
  Certify,
  Create,
  CreatePrimary,
  EK_P256,
  EK_P384,
  EK_RSA_2048,
  ENDORSEMENT,
  EvictControl,
  type Executor,
  GetTime,
  isResponse,
  Load,
  makeCredential,
  NvCertify,
  NvDefineSpace,
  NvIncrement,
  type ObjectEntity,
  openNvIndex,
  openObject,
  OWNER,
  PcrExtend,
  PcrReset,
  PolicySecret,
  Quote,
  ReadClock,
  readHandles,
  readNv,
  readPcrs,
  ReadPublic,
  Sign,
  signingKeyTemplate,
  SRK_P256,
  StartAuthSession,
} from './index.ts'
import { testTpm, type TestTpm } from './software/testing.ts'

const AK_HANDLE = 0x81008001
const RSA_AK_HANDLE = 0x81008002
const EK_RSA_HANDLE = 0x81010001
const EK_P384_HANDLE = 0x81010016
const select = [{ hash: TPM_ALG.SHA256, pcrs: [0, 1, 2, 3, 4, 5, 6, 7, 8, 16] }]

/** An RSA attestation key: this project makes none, but verifies what others make. */
const RSA_AK: RsaPublicArea = {
  ...EK_RSA_2048,
  objectAttributes: attestationKeyTemplate(new Uint8Array()).objectAttributes,
  authPolicy: new Uint8Array(),
  parameters: {
    symmetric: { algorithm: TPM_ALG.NULL },
    scheme: { scheme: TPM_ALG.RSASSA, hashAlg: TPM_ALG.SHA256 },
    keyBits: 2048,
    exponent: 0,
  },
  unique: new Uint8Array(),
}

let host: TestTpm
beforeAll(async () => {
  host = await testTpm()
  await persistKey(attestationKeyTemplate(utf8('test')), AK_HANDLE)
  await persistKey(RSA_AK, RSA_AK_HANDLE)
})
afterAll(() => host.dispose())

/** Read anew for each command: a tool that runs in between takes the connection and gives a new one back. */
const tpm: Executor = { execute: (command, options) => host.tpm.execute(command, options) }

async function persistKey(
  inPublic: Parameters<typeof CreatePrimary>[0]['inPublic'],
  persistentHandle: number,
): Promise<void> {
  await using key = await tpm.execute(CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic }))
  await tpm.execute(EvictControl({ auth: OWNER, objectHandle: key, persistentHandle }))
}

function keyOf(area: TpmtPublic): KeyObject {
  const key = toPublicKey(area)
  const url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  const jwk =
    key.kind === 'ec'
      ? { kty: 'EC', crv: key.curve, x: url(key.x), y: url(key.y) }
      : { kty: 'RSA', n: url(key.modulus), e: url(fromHex('010001')) }
  return createPublicKey({ key: jwk, format: 'jwk' })
}

function signed(area: TpmtPublic, message: Uint8Array, signature: Uint8Array): boolean {
  const decoded = decodeTpmtSignature(signature)
  return verify(decoded.scheme.hash, message, { key: keyOf(area), dsaEncoding: 'ieee-p1363' }, decoded.signature)
}

/**
 * The PCR file of tpm2-tools 5 (`tpm2_quote -o`): its C structures as they lie in memory on a little-endian machine, a
 * TPML_PCR_SELECTION of 16 entries, then the number of TPML_DIGEST and each with room for 8 values of 64 bytes.
 */
function serializedPcrs(banks: PcrBanks): Uint8Array {
  const pcrs = select[0].pcrs
  const selection = new DataView(new ArrayBuffer(132))
  selection.setUint32(0, 1, true)
  selection.setUint16(4, TPM_ALG.SHA256, true)
  new Uint8Array(selection.buffer).set(encodePcrSelection(select).subarray(6), 6)
  const lists: Uint8Array[] = []
  for (let from = 0; from < pcrs.length; from += 8) {
    const list = new DataView(new ArrayBuffer(532))
    const chunk = pcrs.slice(from, from + 8)
    list.setUint32(0, chunk.length, true)
    for (const [i, index] of chunk.entries()) {
      list.setUint16(4 + 66 * i, 32, true)
      new Uint8Array(list.buffer).set(banks.sha256?.[index] ?? new Uint8Array(), 6 + 66 * i)
    }
    lists.push(new Uint8Array(list.buffer))
  }
  return concat(new Uint8Array(selection.buffer), Uint8Array.of(lists.length, 0, 0, 0), ...lists)
}

describe('endorsement keys', () => {
  test.each([
    ['RSA-2048', 0x01c00002, EK_RSA_HANDLE, EK_RSA_2048],
    ['P-384', 0x01c00016, EK_P384_HANDLE, EK_P384],
  ] as const)('%s: certificate, persistent key and template are of one key', async (_, nvHandle, handle, template) => {
    const der = await readNv(tpm, { authHandle: OWNER, nvIndex: await openNvIndex(tpm, nvHandle) })
    const certificate = new X509Certificate(der)
    const ca = (name: string): X509Certificate => new X509Certificate(readFileSync(join(host.swtpm.folder, 'ca', name)))
    const issuer = ca('issuercert.pem')
    expect(certificate.verify(issuer.publicKey)).toBe(true)
    expect(issuer.verify(ca('swtpm-localca-rootca-cert.pem').publicKey)).toBe(true)

    const persistent = await openObject(tpm, handle)
    expect(keyOf(persistent.public).equals(certificate.publicKey)).toBe(true)
    await using made = await tpm.execute(CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic: template }))
    expect(hex(made.name)).toBe(hex(persistent.name))
  })

  test('L-2 makes a key on P-256', async () => {
    await using made = await tpm.execute(CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic: EK_P256 }))
    expect(toPublicKey(made.public)).toMatchObject({ curve: 'P-256' })
  })
})

describe('an attestation key', () => {
  test('is another one for another unique, and the same for the same', async () => {
    const names = new Set<string>()
    for (const unique of ['a', 'b', 'a']) {
      await using key = await tpm.execute(
        CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic: attestationKeyTemplate(utf8(unique)) }),
      )
      expect(key.public.objectAttributes).toBe(0x50472)
      names.add(hex(key.name))
    }
    expect(names.size).toBe(2)
  })

  test('has the qualified name of a primary in the endorsement hierarchy', async () => {
    const ak = await tpm.execute(ReadPublic({ objectHandle: AK_HANDLE }))
    expect(hex(ak.name)).toBe(hex(objectName(ak.outPublic, hash)))
    expect(hex(ak.qualifiedName)).toBe(hex(qualifiedName({ parent: TPM_RH.ENDORSEMENT, name: ak.name, hash })))
  })

  test.each([
    ['RSA-2048', EK_RSA_HANDLE, true],
    ['P-384', EK_P384_HANDLE, false],
  ])('is proven to be in the TPM of the %s endorsement key', async (_, handle, needsPolicy) => {
    const ak = await openObject(tpm, AK_HANDLE)
    const ek = await openObject(tpm, handle)
    const credential = randomBytes(32)
    const activate = async (objectName: Uint8Array): Promise<Uint8Array> => {
      const made = makeCredential({ key: ek.public, objectName, credential })
      await using session = await tpm.execute(StartAuthSession({ sessionType: 'policy' }))
      if (needsPolicy) await tpm.execute(PolicySecret({ authHandle: ENDORSEMENT, policySession: session }))
      const { certInfo } = await tpm.execute(ActivateCredential({ activateHandle: ak, keyHandle: ek, ...made }), {
        sessions: [undefined, needsPolicy ? session : undefined],
      })
      return certInfo
    }
    expect(hex(await activate(ak.name))).toBe(hex(credential))
    const other = await openObject(tpm, RSA_AK_HANDLE)
    await expect(activate(other.name)).rejects.toMatchObject({ response: { name: 'TPM_RC_INTEGRITY' } })
  })

  test('refuses to sign what did not come from the TPM, which another key signs', async () => {
    const digest = hash('sha256', utf8('message'))
    const error = await tpm
      .execute(Sign({ keyHandle: await openObject(tpm, AK_HANDLE), digest }))
      .catch((error: unknown) => error)
    expect(isResponse(error, 'TPM_RC_TICKET')).toBe(true)

    await using srk = await tpm.execute(CreatePrimary({ primaryHandle: OWNER, inPublic: SRK_P256 }))
    const wrapped = await tpm.execute(
      Create({ parentHandle: srk, inPublic: signingKeyTemplate(), inSensitive: { userAuth: utf8('pin') } }),
    )
    await using key = await tpm.execute(
      Load({ parentHandle: srk, inPrivate: wrapped.outPrivate, inPublic: wrapped.outPublic, authValue: utf8('pin') }),
    )
    const { scheme, signature } = await tpm.execute(Sign({ keyHandle: key, digest }))
    const holds = verify(scheme.hash, utf8('message'), { key: keyOf(key.public), dsaEncoding: 'ieee-p1363' }, signature)
    expect(holds).toBe(true)
  })
})

describe('a quote', () => {
  let banks: PcrBanks
  beforeAll(async () => {
    await tpm.execute(PcrReset({ pcrHandle: 16 }))
    await tpm.execute(PcrExtend({ pcrHandle: 16, digests: { sha256: hash('sha256', utf8('measured')) } }))
    banks = await readPcrs(tpm, select)
  })
  const quoteBy = (ak: ObjectEntity, qualifyingData = utf8('nonce')): Promise<Attested> =>
    tpm.execute(Quote({ signHandle: ak, qualifyingData, pcrSelect: select }))

  test.each([
    ['P-256', AK_HANDLE],
    ['RSA-2048', RSA_AK_HANDLE],
  ])('by a %s key verifies, here and with tpm2_checkquote', async (_, handle) => {
    const ak = await openObject(tpm, handle)
    const { attest, signature } = await quoteBy(ak)
    expect(signed(ak.public, attest, signature)).toBe(true)
    const decoded = decodeTpmsAttest(attest)
    if (decoded.type !== TPM_ST.ATTEST_QUOTE) throw new Error('not a quote')
    const digest = pcrDigest({ hash, algorithm: 'sha256', selection: decoded.attested.pcrSelect, banks })
    expect(hex(decoded.attested.pcrDigest)).toBe(hex(digest ?? new Uint8Array()))

    const write = (name: string, bytes: Uint8Array | string): void => writeFileSync(join(host.scratch, name), bytes)
    write('ak.pem', keyOf(ak.public).export({ type: 'spki', format: 'pem' }))
    write('attest', attest)
    write('sig', signature)
    write('pcrs', serializedPcrs(banks))
    const check = (qualification: string): Promise<string> =>
      host.tool(
        'tpm2_checkquote',
        '-u',
        'ak.pem',
        '-m',
        'attest',
        '-s',
        'sig',
        '-f',
        'pcrs',
        '-g',
        'sha256',
        '-q',
        qualification,
      )
    await check(hex(utf8('nonce')))
    await expect(check(hex(utf8('other')))).rejects.toThrow('Unable to run')
    write('pcrs', serializedPcrs({ sha256: { ...banks.sha256, 16: new Uint8Array(32) } }))
    await expect(check(hex(utf8('nonce')))).rejects.toThrow('Unable to run')
  })

  test.each([
    ['P-256', AK_HANDLE],
    ['RSA-2048', RSA_AK_HANDLE],
  ])('that tpm2_quote made with a %s key verifies here', async (_, handle) => {
    await host.tool(
      'tpm2_quote',
      '-c',
      `0x${handle.toString(16)}`,
      '-l',
      'sha256:0,16',
      '-q',
      'abcd',
      '-m',
      'theirs',
      '-s',
      'theirs.sig',
      '-g',
      'sha256',
    )
    const ak = await openObject(tpm, handle)
    const attest = new Uint8Array(readFileSync(join(host.scratch, 'theirs')))
    expect(signed(ak.public, attest, new Uint8Array(readFileSync(join(host.scratch, 'theirs.sig'))))).toBe(true)
    const decoded = decodeTpmsAttest(attest)
    if (decoded.type !== TPM_ST.ATTEST_QUOTE) throw new Error('not a quote')
    expect(hex(decoded.extraData)).toBe('abcd')
    const digest = pcrDigest({ hash, algorithm: 'sha256', selection: decoded.attested.pcrSelect, banks })
    expect(hex(decoded.attested.pcrDigest)).toBe(hex(digest ?? new Uint8Array()))
  })

  test('takes 64 bytes of qualifying data and refuses 80', async () => {
    const ak = await openObject(tpm, AK_HANDLE)
    expect(decodeTpmsAttest((await quoteBy(ak, new Uint8Array(64))).attest).extraData.length).toBe(64)
    await expect(quoteBy(ak, new Uint8Array(80))).rejects.toMatchObject({ response: { name: 'TPM_RC_SIZE' } })
  })

  test('carries the clock of the TPM in the clear', async () => {
    const ak = await openObject(tpm, AK_HANDLE)
    const { clockInfo } = decodeTpmsAttest((await quoteBy(ak)).attest)
    const { currentTime } = await tpm.execute(ReadClock())
    expect(clockInfo.resetCount).toBe(currentTime.clockInfo.resetCount)
    expect(clockInfo.restartCount).toBe(currentTime.clockInfo.restartCount)
  })
})

describe('other statements', () => {
  const qualifyingData = utf8('statement')

  test('certify an object, an NV counter and the time', async () => {
    const ak = await openObject(tpm, AK_HANDLE)
    await using srk = await tpm.execute(CreatePrimary({ primaryHandle: OWNER, inPublic: SRK_P256 }))
    const certified = await tpm.execute(Certify({ objectHandle: srk, signHandle: ak, qualifyingData }))
    expect(decodeTpmsAttest(certified.attest)).toMatchObject({
      type: TPM_ST.ATTEST_CERTIFY,
      attested: { name: srk.name },
    })

    const attributes = TPMA_NV.COUNTER | TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE | TPMA_NV.NO_DA
    const publicInfo = {
      nvIndex: 0x01800100,
      nameAlg: TPM_ALG.SHA256,
      attributes,
      authPolicy: new Uint8Array(),
      dataSize: 8,
    }
    await tpm.execute(NvDefineSpace({ authHandle: OWNER, publicInfo }))
    const unwritten = await openNvIndex(tpm, publicInfo.nvIndex)
    await tpm.execute(NvIncrement({ authHandle: OWNER, nvIndex: unwritten }))
    const nvIndex = await openNvIndex(tpm, publicInfo.nvIndex)
    expect(hex(nvIndex.name)).not.toBe(hex(unwritten.name))
    expect(hex(nvIndex.name)).toBe(hex(nvName({ ...publicInfo, attributes: attributes | TPMA_NV.WRITTEN }, hash)))
    const value = await readNv(tpm, { authHandle: OWNER, nvIndex })
    const counted = await tpm.execute(
      NvCertify({ signHandle: ak, authHandle: OWNER, nvIndex, size: 8, qualifyingData }),
    )
    const { attested } = decodeTpmsAttest(counted.attest) as {
      attested: { nvContents?: Uint8Array; indexName?: Uint8Array }
    }
    expect(equal(attested.nvContents ?? new Uint8Array(), value)).toBe(true)
    expect(equal(attested.indexName ?? new Uint8Array(), nvIndex.name)).toBe(true)

    const timed = await tpm.execute(GetTime({ privacyAdminHandle: ENDORSEMENT, signHandle: ak, qualifyingData }))
    for (const { attest, signature } of [certified, counted, timed]) {
      expect(signed(ak.public, attest, signature)).toBe(true)
      expect(hex(decodeTpmsAttest(attest).extraData)).toBe(hex(qualifyingData))
    }
  })

  test('leave nothing behind in the TPM', async () => {
    expect(await readHandles(tpm, TPM_HT.TRANSIENT)).toEqual([])
    expect(await readHandles(tpm, TPM_HT.HMAC_SESSION)).toEqual([])
    expect(await readHandles(tpm, TPM_HT.PERSISTENT)).toEqual([AK_HANDLE, RSA_AK_HANDLE, EK_RSA_HANDLE, EK_P384_HANDLE])
  })
})
