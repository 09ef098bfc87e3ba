/** Credentials of services, on disk under a key that a generation wraps. Format: spec/agent.md §3. */

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { concat, utf8 } from '@reprise/core'
import { bytes, integer, list, nullable, object, oneOf } from '@reprise/host/decode'
import { RecoveryError } from '../../error.ts'
import { Secret } from '../../sealing/secret.ts'
import { tagged } from '../../sealing/words.ts'
import type { HostId } from '../../types.ts'
import { readState, type StateFile, writeState } from '../state/folder.ts'
import { hostName } from '../state/host-file.ts'

interface SealedCredential {
  readonly name: string
  /** Nonce, ciphertext and tag of AES-256-GCM. */
  readonly sealed: Uint8Array
}

/** A delivery whose contents a host has: spec/agent.md §11. */
export interface Taken {
  /** Digest of the statement that permitted it. */
  readonly statement: Uint8Array
  readonly madeMs: number
}

export interface CredentialsFile {
  readonly schema: typeof SCHEMA
  /** The newest one; null when there was none. */
  readonly taken: Taken | null
  readonly entries: readonly SealedCredential[]
}

/** The version by which generations keep the key of the credentials; images begin at 1. */
export const CREDENTIALS_VERSION = 0
export const CREDENTIAL_BYTES_MAX = 1 << 16
const CREDENTIALS_MAX = 1000
const NONCE_BYTES = 12
const TAG_BYTES = 16
const SCHEMA = 'reprise/recovery-credentials/v1'
export const CREDENTIALS_FILE: StateFile<CredentialsFile> = {
  schema: SCHEMA,
  bytesMax: 64 << 20,
  decode: object<CredentialsFile>({
    schema: oneOf(SCHEMA),
    taken: nullable(object<Taken>({ statement: bytes(32), madeMs: integer(0) })),
    entries: list(
      object<SealedCredential>({
        name: hostName,
        sealed: bytes(NONCE_BYTES + TAG_BYTES, NONCE_BYTES + CREDENTIAL_BYTES_MAX + TAG_BYTES),
      }),
      CREDENTIALS_MAX,
    ),
  }),
}

function aad(host: HostId, name: string): Uint8Array {
  return tagged('reprise/credential/v1').sized(utf8(host)).sized(utf8(name)).done()
}

export interface CredentialsAt {
  readonly path: string
  readonly host: HostId
  readonly key: Secret
}

export interface WriteOptions {
  /** Else those of other names are kept: they are under the same key. */
  readonly isNewKey: boolean
  readonly random: (lengthBytes: number) => Uint8Array
  /** The delivery that brought them; without one what is known stays. */
  readonly taken: Taken | undefined
}

/** The newest delivery whose contents were written. */
export async function readTaken(path: string): Promise<Taken | undefined> {
  return (await readState(path, CREDENTIALS_FILE))?.taken ?? undefined
}

export async function writeCredentials(
  { path, host, key }: CredentialsAt,
  credentials: ReadonlyMap<string, Secret>,
  { isNewKey, random, taken }: WriteOptions,
): Promise<void> {
  const before = await readState(path, CREDENTIALS_FILE)
  const known = isNewKey ? [] : (before?.entries ?? [])
  const made = [...credentials].map(([name, secret]): SealedCredential => {
    const nonce = random(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce).setAAD(aad(host, name))
    const sealed = concat(nonce, cipher.update(secret.bytes), cipher.final(), cipher.getAuthTag())
    return { name, sealed }
  })
  const entries = [...known.filter(({ name }) => !credentials.has(name)), ...made]
  // What is under a new key is not what an earlier delivery brought.
  const kept = isNewKey ? null : (before?.taken ?? null)
  await writeState(path, CREDENTIALS_FILE, { schema: SCHEMA, taken: taken ?? kept, entries })
}

/** @throws {@link RecoveryError} `STATE` when the file is damaged or another host's. */
export async function readCredentials({ path, host, key }: CredentialsAt): Promise<ReadonlyMap<string, Secret>> {
  const found = new Map<string, Secret>()
  for (const { name, sealed } of (await readState(path, CREDENTIALS_FILE))?.entries ?? []) {
    try {
      const decipher = createDecipheriv('aes-256-gcm', key.bytes, sealed.subarray(0, NONCE_BYTES))
      decipher.setAAD(aad(host, name)).setAuthTag(sealed.subarray(-TAG_BYTES))
      const plain = decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES))
      decipher.final()
      found.set(name, Secret.owning(plain))
    } catch {
      for (const secret of found.values()) secret[Symbol.dispose]()
      throw new RecoveryError('STATE', {
        message: `${path} is damaged: the credential ${name} does not open with the key of this host.`,
        hint: 'Give it anew: reprise recovery provision --plan SIGNED --credential NAME=FILE',
        data: { path },
      })
    }
  }
  return found
}
