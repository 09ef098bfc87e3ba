/** The key of an authority: P-256, in a file or in a TPM. It signs certificates and revocation lists. */

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { access, constants, rm } from 'node:fs/promises'
import { hex, type PublicKey, toPublicKey } from '@reprise/core'
import { decodeCertificate } from '@reprise/core/certificates'
import {
  connect,
  CreatePrimary,
  DEVICE_PATH,
  flushAll,
  type LoadedObject,
  openDeviceTransport,
  OWNER,
  Sign,
  signingKeyTemplate,
  swtpm,
  type Tpm,
} from '@reprise/tpm'
import { keyObject } from '../crypto.ts'
import { HostError } from '../error.ts'
import { readIfThere, writeAtomically } from '../files.ts'
import { sha256 } from '../hashing.ts'
import type { AuthorityPaths, KeyPlace } from './home.ts'

export interface AuthorityKey {
  readonly publicKey: PublicKey
  /** @returns ECDSA with SHA-256 over the bytes: r ‖ s. */
  sign(message: Uint8Array): Promise<Uint8Array>
}

export type KeyChoice = 'file' | 'tpm' | 'tpm-device' | 'tpm-software'

/** Makes a key anew. @throws {@link HostError} `TPM_MISSING` when there is no such TPM. */
export async function makeKey(
  paths: AuthorityPaths,
  choice: KeyChoice,
  passphrase: string | undefined,
): Promise<{ readonly place: KeyPlace; readonly key: AuthorityKey }> {
  if (choice === 'file') {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const encryption = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase }
    await writeAtomically(paths.key, privateKey.export({ type: 'pkcs8', format: 'pem', ...encryption }))
    return { place: { kind: 'file', encrypted: passphrase !== undefined }, key: keyOfFile(privateKey) }
  }
  const transport = await chooseTransport(choice)
  if (transport === 'swtpm') {
    // What an unfinished attempt left: nothing was signed with it.
    await rm(paths.swtpm, { recursive: true, force: true })
    await swtpm.manufacture(paths.swtpm)
  }
  const place = { kind: 'tpm', transport, unique: new Uint8Array(randomBytes(32)) } as const
  return { place, key: await keyOfTpm(paths, place) }
}

/**
 * @param using.root - The root certificate, DER.
 * @throws {@link HostError} `AUTHORITY_KEY` when the key is missing, locked, or another one.
 */
export async function openKey(
  paths: AuthorityPaths,
  place: KeyPlace,
  using: { readonly passphrase: string | undefined; readonly root: Uint8Array },
): Promise<AuthorityKey> {
  const key =
    place.kind === 'tpm' ? await keyOfTpm(paths, place) : keyOfFile(await readKey(paths.key, using.passphrase))
  if (keyObject(key.publicKey).equals(keyObject(decodeCertificate(using.root).key))) return key
  throw new HostError('AUTHORITY_KEY', {
    message: `The key of ${paths.home} is not the one of its root certificate.`,
    hint:
      place.kind === 'tpm'
        ? 'The TPM was cleared or is another one: this authority can sign nothing any more.'
        : 'Bring key.pem back from a backup.',
  })
}

function keyOfFile(privateKey: KeyObject): AuthorityKey {
  return {
    publicKey: publicKeyOf(privateKey),
    sign: async (message) => new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })),
  }
}

function publicKeyOf(privateKey: KeyObject): PublicKey {
  const { x = '', y = '' } = createPublicKey(privateKey).export({ format: 'jwk' })
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64url'))
  return { kind: 'ec', curve: 'P-256', x: bytes(x), y: bytes(y) }
}

async function readKey(path: string, passphrase: string | undefined): Promise<KeyObject> {
  const pem = await readIfThere(path)
  const hint = 'Bring it back from a backup, or give its passphrase: --passphrase-file FILE'
  if (pem === undefined) throw new HostError('AUTHORITY_KEY', { message: `${path} is missing.`, hint })
  try {
    return createPrivateKey({ key: Buffer.from(pem), ...(passphrase !== undefined && { passphrase }) })
  } catch (cause) {
    throw new HostError('AUTHORITY_KEY', {
      message: `${path} cannot be read: ${(cause as Error).message}`,
      hint,
      cause,
    })
  }
}

async function chooseTransport(choice: Exclude<KeyChoice, 'file'>): Promise<'swtpm' | 'device'> {
  if (choice !== 'tpm') return choice === 'tpm-device' ? 'device' : 'swtpm'
  return await access(DEVICE_PATH, constants.R_OK | constants.W_OK).then(
    () => 'device',
    () => 'swtpm',
  )
}

/**
 * The TPM is open only while it makes a signature: an authority signs seldom, and others may need the TPM. Whoever
 * signs holds the lock of the log, so there is one at a time.
 */
async function keyOfTpm(paths: AuthorityPaths, place: KeyPlace & { readonly kind: 'tpm' }): Promise<AuthorityKey> {
  const use = <T>(work: (key: LoadedObject, tpm: Tpm) => Promise<T>): Promise<T> =>
    withTpm(paths, place.transport, async (tpm) => {
      const inPublic = signingKeyTemplate(place.unique)
      await using key = await tpm.execute(CreatePrimary({ primaryHandle: OWNER, inPublic }))
      return await work(key, tpm)
    })
  return {
    publicKey: await use(async (key) => toPublicKey(key.public)),
    sign: (message) =>
      use(async (keyHandle, tpm) => {
        const { signature } = await tpm.execute(Sign({ keyHandle, digest: sha256(message) }))
        return signature
      }),
  }
}

async function withTpm<T>(
  paths: AuthorityPaths,
  transport: 'swtpm' | 'device',
  work: (tpm: Tpm) => Promise<T>,
): Promise<T> {
  if (transport === 'device') {
    await using tpm = connect(await openDeviceTransport(DEVICE_PATH))
    return await work(tpm)
  }
  const running = await swtpm.start(paths.swtpm)
  const tpm = connect(await running.open())
  try {
    // An authority that was killed may have left objects behind.
    await flushAll(tpm)
    return await work(tpm)
  } finally {
    await swtpm.stop(running, { tpm })
  }
}

/** For showing. */
export function describeKey(place: KeyPlace): string {
  if (place.kind === 'file') return place.encrypted ? 'P-256 in a file, encrypted' : 'P-256 in a file, not encrypted'
  const where = place.transport === 'device' ? 'the TPM of this machine' : 'a software TPM'
  return `P-256 in ${where} (template ${hex(place.unique).slice(0, 8)}…)`
}
