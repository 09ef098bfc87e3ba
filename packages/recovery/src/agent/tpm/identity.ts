/**
 * The attestation key of a host: a restricted primary key of the endorsement hierarchy, persistent, with an authValue of its
 * own. Every step can be done again: the same `unique` and authValue give the same key.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §14 (primary keys), §36.6 (counts in disguise outside the endorsement
 * hierarchy); TCG Registry of Reserved TPM 2.0 Handles (persistent handles of the owner).
 */

import { randomBytes } from 'node:crypto'
import { equal, hex, TPM_HT } from '@reprise/core'
import {
  attestationKeyTemplate,
  CreatePrimary,
  ENDORSEMENT,
  EvictControl,
  type ObjectEntity,
  openObject,
  OWNER,
  readHandles,
  type Tpm,
} from '@reprise/tpm'
import { RecoveryError } from '../../error.ts'
import { requireLeases } from '../../sealing/lease.ts'
import { readStorageKey } from '../../sealing/storage.ts'
import { sha256, tagged } from '../../sealing/words.ts'
import type { HostId } from '../../types.ts'
import { readIfThere, writeAtomically } from '@reprise/host/files'
import { readState, type StatePaths, writeState } from '../state/folder.ts'
import { HOST_FILE, HOST_SCHEMA, type HostFile, type TpmPlace } from '../state/host-file.ts'
import { makeTpm, openTpm, type OwnTpm } from './open-tpm.ts'

const AUTH_BYTES = 32
const HANDLES = { first: 0x81008001, last: 0x8100ffff }

/**
 * Makes the identity of a host, or finds the one that it has.
 *
 * @throws {@link RecoveryError} `STATE` when the folder is another host's or another TPM's; `TPM` when it lacks what leases need.
 */
export async function makeIdentity(
  paths: StatePaths,
  wanted: { readonly host: HostId; readonly tpm: TpmPlace },
  opening: (place: TpmPlace) => Promise<OwnTpm> = openTpm,
): Promise<HostFile> {
  const known = await readState(paths.host, HOST_FILE)
  if (known !== undefined) {
    if (known.host === wanted.host && placeName(known.tpm) === placeName(wanted.tpm)) return known
    throw new RecoveryError('STATE', {
      message: `${paths.host} is of ${known.host} with the TPM ${placeName(known.tpm)}, not of ${wanted.host} with ${placeName(wanted.tpm)}.`,
      hint: 'Take another state folder for another host.',
      data: { path: paths.host },
    })
  }
  await makeTpm(wanted.tpm)
  const open = await opening(wanted.tpm)
  try {
    // Before operators take it into a plan, and not when its first secret is drawn.
    await requireLeases(open.tpm, wanted.host)
    if ((await readIfThere(paths.akAuth)) === undefined) await writeAtomically(paths.akAuth, randomBytes(AUTH_BYTES))
    const userAuth = await readAuth(paths)
    // Not drawn: after a crash the key that is in the TPM already is found again.
    const unique = sha256(tagged('reprise/recovery-ak/v1').raw(userAuth).done())
    const ak = await makeAk(open, { unique, userAuth })
    const storageKey = await readStorageKey(open.tpm)
    const made: HostFile = { schema: HOST_SCHEMA, ...wanted, storageKey, ak: { unique, ...ak } }
    await writeState(paths.host, HOST_FILE, made)
    return made
  } finally {
    await open.release()
  }
}

function placeName(place: TpmPlace): string {
  return place.kind === 'device' ? place.path : place.folder
}

async function makeAk(
  { tpm, persist }: OwnTpm,
  { unique, userAuth }: { readonly unique: Uint8Array; readonly userAuth: Uint8Array },
): Promise<{ readonly handle: number; readonly public: Uint8Array }> {
  const inPublic = attestationKeyTemplate(unique)
  await using made = await tpm.execute(
    CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic, inSensitive: { userAuth } }),
  )
  const taken = (await readHandles(tpm, TPM_HT.PERSISTENT)).filter(
    (handle) => handle >= HANDLES.first && handle <= HANDLES.last,
  )
  for (const handle of taken)
    if (equal((await openObject(tpm, handle)).name, made.name)) return { handle, public: made.public.raw.slice() }
  let persistentHandle = HANDLES.first
  while (taken.includes(persistentHandle)) persistentHandle++
  await tpm.execute(EvictControl({ auth: OWNER, objectHandle: made, persistentHandle }))
  await persist()
  return { handle: persistentHandle, public: made.public.raw.slice() }
}

async function readAuth(paths: StatePaths): Promise<Uint8Array> {
  const auth = await readIfThere(paths.akAuth)
  if (auth?.length === AUTH_BYTES) return auth
  throw new RecoveryError('STATE', {
    message: `${paths.akAuth} ${auth === undefined ? 'is missing' : `has ${auth.length} bytes, not ${AUTH_BYTES}`}.`,
    hint: 'Bring it back from a backup, or provision the host anew.',
    data: { path: paths.akAuth },
  })
}

/** The key for signing. @throws {@link RecoveryError} `PIN` when this TPM has another one, or none, at its place. */
export async function openAk(tpm: Tpm, paths: StatePaths, { ak, host }: HostFile): Promise<ObjectEntity> {
  const auth = await readAuth(paths)
  const isThere = (await readHandles(tpm, TPM_HT.PERSISTENT)).includes(ak.handle)
  const key = isThere ? await openObject(tpm, ak.handle, auth) : undefined
  if (key !== undefined && equal(key.public.raw, ak.public)) return key
  throw new RecoveryError('PIN', {
    message: `The TPM has ${key === undefined ? 'no key' : `another key (${hex(key.name)})`} at 0x${ak.handle.toString(16)}, where the attestation key of ${host} belongs.`,
    hint: 'It is another TPM, or it was cleared. If that was on purpose, provision the host anew.',
  })
}
