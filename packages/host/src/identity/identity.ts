/**
 * A host's identity: an attestation key that only this TPM has.
 *
 * A restricted P-256 primary key of the endorsement hierarchy, made from 32 random bytes that are kept
 * outside, opened by a random authValue that is kept beside them, persistent in the TPM. Every step
 * can be repeated, so an identity that a crash left half made is finished at the next start.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §14 (primary keys), §36.6 (obfuscated clock outside the endorsement
 * hierarchy); TCG TPM v2.0 Provisioning Guidance v1.0 §7.8 (persistent handles).
 */

import { randomBytes } from 'node:crypto'
import { equal, hex, TPM_HT, TPM_PT } from '@reprise/core'
import {
  attestationKeyTemplate,
  CreatePrimary,
  DictionaryAttackParameters,
  ENDORSEMENT,
  EvictControl,
  HierarchyChangeAuth,
  LOCKOUT,
  type ObjectEntity,
  openObject,
  OWNER,
  ReadClock,
  readHandles,
  readProperties,
  type Tpm,
  withAuth,
} from '@reprise/tpm'
import { HostError } from '../error.ts'
import { readIfThere, writeAtomically } from '../files.ts'
import type { HostPaths } from '../home.ts'
import { Counter, makeCounter, removeCounter } from '../power/counter.ts'
import { writeKnown } from '../power/known.ts'
import { BatchSeq } from '../signer/batch-seq.ts'
import { readEndorsementKey } from './ek.ts'
import { type Stored, type StoredIdentity, writeIdentity } from './stored.ts'
import { checkFit, isWrongAuth, locked } from './unfit.ts'

/** A TPM that is open, and how to make what it acknowledged outlast a loss of power. */
export interface OpenTpm {
  readonly tpm: Tpm
  readonly transport: 'swtpm' | 'device'
  persist(): Promise<void>
}

export interface Identity extends StoredIdentity {
  readonly ak: ObjectEntity
  readonly counter: Counter
}

/** Handles of the owner for keys that are not storage keys (TCG Registry of Reserved TPM 2.0 Handles). */
const AK_HANDLES = { first: 0x81008001, last: 0x8100ffff }
const AUTH_BYTES = 32
/** Wrong guesses until lockout, seconds until one is forgotten, seconds that lockoutAuth is barred after a wrong one. */
const DICTIONARY_ATTACK = { newMaxTries: 31, newRecoveryTime: 600, lockoutRecovery: 86_400 }
/** TPMA_PERMANENT, Part 2 §8.6. */
const LOCKOUT_AUTH_SET = 0x4

/** What happens in order; tests crash after each. */
export type IdentityStep =
  | 'secrets'
  | 'begun'
  | 'dictionary attack'
  | 'lockout'
  | 'ek'
  | 'ak made'
  | 'ak persistent'
  | 'counter made'
  | 'tpm synced'
  | 'power noted'
  | 'complete'

/** Called after each step; an identity is not begun before `begun`. */
type AfterStep = (step: IdentityStep) => void | Promise<void>

/**
 * Finds the identity in the TPM, or makes it, or finishes making it.
 *
 * @param stored - What `identity.json` says.
 * @throws {@link HostError} `TPM_CHANGED` when a complete identity is not in this TPM, `IDENTITY_DAMAGED`.
 */
export async function openIdentity(
  open: OpenTpm,
  stored: Stored | undefined,
  paths: HostPaths,
  afterStep: AfterStep = () => undefined,
): Promise<Identity> {
  const identity = stored?.state === 'complete' ? stored : await makeIdentity(open, stored, paths, afterStep)
  const akAuth = await readSecret(paths.akAuth)
  if (!(await readHandles(open.tpm, TPM_HT.PERSISTENT)).includes(identity.akHandle))
    throw await tpmChanged(open, identity, 'there is none')
  const ak = await openObject(open.tpm, identity.akHandle, akAuth)
  if (!equal(ak.name, identity.akName)) throw await tpmChanged(open, identity, `there is ${hex(ak.name)}`)
  const counterHandle = identity.counterHandle ?? (await completeCounter(open, { identity, authValue: akAuth, paths }))
  return { ...identity, counterHandle, ak, counter: await Counter.open(open.tpm, counterHandle, akAuth) }
}

/** An identity that was made before hosts counted gets its counter. */
async function completeCounter(
  open: OpenTpm,
  { identity, authValue, paths }: { identity: StoredIdentity; authValue: Uint8Array; paths: HostPaths },
): Promise<number> {
  const counterHandle = await beginCounting(open, { authValue, path: paths.power }, () => undefined)
  await writeIdentity(paths.identity, { ...identity, counterHandle })
  return counterHandle
}

async function makeIdentity(
  open: OpenTpm,
  begun: Stored | undefined,
  paths: HostPaths,
  afterStep: AfterStep,
): Promise<StoredIdentity> {
  const { tpm, transport } = open
  if (begun === undefined) {
    await writeAtomically(paths.akAuth, randomBytes(AUTH_BYTES))
    // It may be in the TPM already, so it is never replaced.
    if ((await readIfThere(paths.lockoutAuth)) === undefined)
      await writeAtomically(paths.lockoutAuth, randomBytes(AUTH_BYTES))
    await BatchSeq.create(paths.batchSeq)
    await afterStep('secrets')
  }
  const unique = begun?.unique ?? new Uint8Array(randomBytes(32))
  const start = { schema: 'reprise/identity/v1', transport, unique } as const
  await writeIdentity(paths.identity, { ...start, state: 'begun' })
  await afterStep('begun')

  if (transport === 'swtpm') await protectLockout(tpm, await readSecret(paths.lockoutAuth), afterStep)
  await checkFit(tpm)
  const ek = await readEndorsementKey(tpm)
  await afterStep('ek')
  const authValue = await readSecret(paths.akAuth)
  const ak = await makeAk(tpm, { unique, authValue }, afterStep)
  const counterHandle = await beginCounting(open, { authValue, path: paths.power }, afterStep)

  const complete: StoredIdentity = {
    ...start,
    state: 'complete',
    akHandle: ak.handle,
    counterHandle,
    akName: ak.name,
    ekName: ek.name,
    ekCertificate: ek.certificate,
  }
  await writeIdentity(paths.identity, complete)
  await afterStep('complete')
  return complete
}

/** Makes the counter, and notes where it begins. @returns Its handle. */
async function beginCounting(
  open: OpenTpm,
  { authValue, path }: { readonly authValue: Uint8Array; readonly path: string },
  afterStep: AfterStep,
): Promise<number> {
  const { tpm } = open
  const handle = await makeCounter(tpm, authValue)
  await afterStep('counter made')
  await open.persist()
  await afterStep('tpm synced')
  const counter = await (await Counter.open(tpm, handle, authValue)).read()
  const { clock, resetCount, restartCount } = (await tpm.execute(ReadClock())).currentTime.clockInfo
  await writeKnown(path, { counter, clock, resetCount, restartCount })
  await afterStep('power noted')
  return handle
}

/** A software TPM comes with an empty lockoutAuth, by which anybody could clear it. */
async function protectLockout(tpm: Tpm, lockoutAuth: Uint8Array, afterStep: AfterStep): Promise<void> {
  const permanent = (await readProperties(tpm, TPM_PT.PERMANENT)).get(TPM_PT.PERMANENT) ?? 0
  const isSet = (permanent & LOCKOUT_AUTH_SET) !== 0
  const lockHandle = isSet ? withAuth(LOCKOUT, lockoutAuth) : LOCKOUT
  await tpm.execute(DictionaryAttackParameters({ lockHandle, ...DICTIONARY_ATTACK }))
  await afterStep('dictionary attack')
  if (!isSet) await tpm.execute(HierarchyChangeAuth({ authHandle: LOCKOUT, newAuth: lockoutAuth }))
  await afterStep('lockout')
}

/** The same `unique` gives the same key, so one that is persistent already is found by its Name. */
async function makeAk(
  tpm: Tpm,
  key: { readonly unique: Uint8Array; readonly authValue: Uint8Array },
  afterStep: AfterStep,
): Promise<{ readonly handle: number; readonly name: Uint8Array }> {
  const inPublic = attestationKeyTemplate(key.unique)
  const inSensitive = { userAuth: key.authValue }
  const making = tpm.execute(CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic, inSensitive }))
  await using made = await making.catch((cause: unknown) => {
    throw isWrongAuth(cause) ? locked('endorsement', 'no attestation key can be made in it', cause) : cause
  })
  await afterStep('ak made')
  const taken = (await readHandles(tpm, TPM_HT.PERSISTENT)).filter(
    (handle) => handle >= AK_HANDLES.first && handle <= AK_HANDLES.last,
  )
  for (const handle of taken)
    if (equal((await openObject(tpm, handle)).name, made.name)) return { handle, name: made.name }
  let persistentHandle = AK_HANDLES.first
  while (taken.includes(persistentHandle)) persistentHandle++
  try {
    await tpm.execute(EvictControl({ auth: OWNER, objectHandle: made, persistentHandle }))
  } catch (cause) {
    throw isWrongAuth(cause) ? locked('owner', 'no key can be made persistent in it', cause) : cause
  }
  await afterStep('ak persistent')
  return { handle: persistentHandle, name: made.name }
}

async function readSecret(path: string): Promise<Uint8Array> {
  const secret = await readIfThere(path)
  if (secret?.length === AUTH_BYTES) return secret
  throw new HostError('IDENTITY_DAMAGED', {
    message: `${path} ${secret === undefined ? 'is missing' : `has ${secret.length} bytes, not ${AUTH_BYTES}`}.`,
    hint: 'Bring the file back from a backup, or give this host a new identity: reprise host init --new',
  })
}

/** Says what is different, as far as the TPM can still be asked. */
async function tpmChanged({ tpm }: OpenTpm, identity: StoredIdentity, found: string): Promise<HostError> {
  const ek = await readEndorsementKey(tpm)
  const sameTpm = equal(ek.name, identity.ekName)
  const what = sameTpm
    ? 'The TPM is the same (its EK is), but it was cleared or its key was removed'
    : `This is another TPM: its EK is ${hex(ek.name)}, the identity was made with ${hex(identity.ekName)}`
  return new HostError('TPM_CHANGED', {
    message: `${what}. At handle 0x${identity.akHandle.toString(16)} the key ${hex(identity.akName)} should be; ${found}.`,
    hint: 'Records made before stay valid. To go on with this TPM as a new host: reprise host init --new',
    data: { sameTpm },
  })
}

/** Takes the key and the counter of an identity out of the TPM when they are there. */
export async function evictIdentity(tpm: Tpm, stored: Stored): Promise<void> {
  if (stored.state === 'complete' && stored.counterHandle !== null) await removeCounter(tpm, stored.counterHandle)
  if (stored.state !== 'complete' || !(await readHandles(tpm, TPM_HT.PERSISTENT)).includes(stored.akHandle)) return
  const object = await openObject(tpm, stored.akHandle)
  if (!equal(object.name, stored.akName)) return
  await tpm.execute(EvictControl({ auth: OWNER, objectHandle: object, persistentHandle: object.handle }))
}
