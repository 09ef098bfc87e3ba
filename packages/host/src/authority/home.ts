/**
 * The folder of an authority.
 *
 *     authority.json      what it is; written last, so that there is an authority when it is there
 *     root.pem            its root certificate, for whoever checks what it issued
 *     key.pem             its key, PKCS#8, unless that is in a TPM
 *     swtpm/              the software TPM, when the key is in one
 *     log.jsonl           everything that happened; the state is what this log says (log.ts)
 *     revocations.json    the newest revocation list, signed
 */

import { mkdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fromUtf8 } from '@reprise/core'
import { HostError } from '../error.ts'
import { akCertificate } from '../enrolment/messages.ts'
import { readIfThere, writeAtomically } from '../files.ts'
import { boolean, bytes, type Decode, object, oneOf, refused, text, toJson } from '../signer/decode.ts'

export interface AuthorityPaths {
  readonly home: string
  readonly settings: string
  readonly root: string
  readonly key: string
  readonly swtpm: string
  readonly log: string
  readonly revocations: string
}

/** Where the key is. */
export type KeyPlace =
  | { readonly kind: 'file'; readonly encrypted: boolean }
  /** `unique`: 32 random bytes of the key's template; the same TPM makes the same key of them. */
  | { readonly kind: 'tpm'; readonly transport: 'swtpm' | 'device'; readonly unique: Uint8Array }

export interface Settings {
  readonly schema: 'reprise/authority-settings/v1'
  readonly name: string
  readonly key: KeyPlace
  /** X.509 DER of the root certificate. */
  readonly root: Uint8Array
}

const KEYS: { readonly [Kind in KeyPlace['kind']]: Decode<KeyPlace & { readonly kind: Kind }> } = {
  file: object({ kind: oneOf('file'), encrypted: boolean }),
  tpm: object({ kind: oneOf('tpm'), transport: oneOf('swtpm', 'device'), unique: bytes(32) }),
}

const decode = object<Settings>({
  schema: oneOf('reprise/authority-settings/v1'),
  name: text(64),
  key: (value, path) => {
    const kind = (value as { readonly kind?: unknown } | null)?.kind
    if (kind !== 'file' && kind !== 'tpm') throw refused(`${path}.kind`, 'file or tpm')
    return KEYS[kind](value, path)
  },
  root: akCertificate,
})

export function authorityPaths(home: string): AuthorityPaths {
  const whole = resolve(home)
  return {
    home: whole,
    settings: join(whole, 'authority.json'),
    root: join(whole, 'root.pem'),
    key: join(whole, 'key.pem'),
    swtpm: join(whole, 'swtpm'),
    log: join(whole, 'log.jsonl'),
    revocations: join(whole, 'revocations.json'),
  }
}

/** Makes the folder, open to its owner only. @throws {@link HostError} `AUTHORITY_HOME`. */
export async function prepareAuthorityHome(paths: AuthorityPaths): Promise<void> {
  await mkdir(paths.home, { recursive: true, mode: 0o700 }).catch((cause: Error) => {
    throw new HostError('AUTHORITY_HOME', {
      message: `${paths.home} cannot be made: ${cause.message}`,
      hint: 'Give a folder that you may write: --home FOLDER',
      cause,
    })
  })
  const { uid, mode } = await stat(paths.home)
  if (uid === process.getuid?.() && (mode & 0o022) === 0) return
  throw new HostError('AUTHORITY_HOME', {
    message: `${paths.home} can be changed by others than you (owner ${uid}, mode ${(mode & 0o777).toString(8)}).`,
    hint: `Run: chmod 700 ${paths.home}, or give a folder of your own: --home FOLDER`,
  })
}

/** @returns Undefined when there is no authority in the folder. @throws {@link HostError} `AUTHORITY_HOME`. */
export async function readSettings(paths: AuthorityPaths): Promise<Settings | undefined> {
  try {
    const content = await readIfThere(paths.settings)
    return content === undefined ? undefined : decode(JSON.parse(fromUtf8(content)), 'authority')
  } catch (cause) {
    throw new HostError('AUTHORITY_HOME', {
      message: `${paths.settings} is damaged: ${(cause as Error).message}`,
      hint: 'Bring the file back from a backup.',
      cause,
    })
  }
}

export async function writeSettings(paths: AuthorityPaths, settings: Settings): Promise<void> {
  await writeAtomically(paths.settings, `${JSON.stringify(toJson(settings), undefined, 2)}\n`)
}
