/**
 * Sealing and unsealing under a pinned storage key, in salted sessions that encrypt. Rules: spec/release.md §2.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §19.6.8 (salt), §21 (parameter encryption); Part 3 §12.
 */

import { decodeTpmtPublic, equal } from '@reprise/core'
import {
  Create,
  CreatePrimary,
  isResponse,
  Load,
  type LoadedObject,
  meetPolicy,
  OWNER,
  type Policy,
  type PolicyClause,
  sealedTemplate,
  type Session,
  type SessionType,
  SRK_P256,
  StartAuthSession,
  type Tpm,
  TpmError,
  Unseal,
  withAuth,
} from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import { Secret } from './secret.ts'

/** A TPM, and what its owner pinned of it. */
export interface PinnedTpm {
  readonly tpm: Tpm
  /** TPMT_PUBLIC of the storage key, as it was when this host was provisioned. */
  readonly storageKey: Uint8Array
  /** Makes what the TPM has acknowledged outlast a loss of power; a chip does so by itself. */
  readonly persist: () => Promise<void>
  /** Absent means empty. */
  readonly ownerAuth?: Uint8Array
}

/** A sealed object as its parent wraps it: safe to store anywhere. */
export interface SealedObject {
  readonly private: Uint8Array
  readonly public: Uint8Array
}

/** What a policy refuses by. The first words of each are in spec/release.md §3.5. */
export type Rule =
  | 'boot' // registers of the boot are not the approved ones
  | 'cap' // the cap register was extended: the half was opened in this boot already
  | 'resets' // more resets since the last heartbeat than the budget
  | 'restarts' // the TPM was restarted without a reset
  | 'powered' // powered for longer than the lease says
  | 'lease' // the lease index does not hold this lease
  | 'approval' // the approver signed something else
  | 'revoked' // the approvals up to this number were taken back
  | 'operators' // a statement is not by that operator, or not for this session, host and nonce, or came too late
  | 'used' // break-glass was used already
  | 'policy' // all steps were met, and the object wants others

/** A clause, and the rule that it stands for. */
export interface RuledClause {
  readonly rule: Rule
  readonly clause: PolicyClause
}

/** A refusal is an answer. `response` is the TPM's. */
export type Opened =
  | { readonly kind: 'opened'; readonly secret: Secret }
  | { readonly kind: 'refused'; readonly rule: Rule; readonly response: string; readonly position: number }

/** What a TPM says when a policy does not hold; Part 3 §23, each command's table of errors. */
const REFUSALS: ReadonlySet<string> = new Set([
  'TPM_RC_POLICY',
  'TPM_RC_POLICY_FAIL',
  'TPM_RC_VALUE',
  'TPM_RC_SIGNATURE',
  'TPM_RC_EXPIRED',
  'TPM_RC_NV_UNINITIALIZED',
  'TPM_RC_HANDLE',
  'TPM_RC_TICKET',
])

/** How often registers may change while a policy is met. */
const ATTEMPTS_MAX = 5

const turns = new WeakMap<Tpm, Promise<unknown>>()

/**
 * One thing at a time on a TPM: each takes up to three of its three slots for objects. What waits for people waits outside
 * its turn.
 */
export function inTurn<T>({ tpm }: Pick<PinnedTpm, 'tpm'>, work: () => Promise<T>): Promise<T> {
  const turn = (turns.get(tpm) ?? Promise.resolve()).then(work)
  turns.set(
    tpm,
    turn.catch(() => undefined),
  )
  return turn
}

/** The storage key of this TPM, for pinning: only where the host is provisioned, never where it recovers. */
export async function readStorageKey(tpm: Tpm, ownerAuth?: Uint8Array): Promise<Uint8Array> {
  await using key = await tpm.execute(CreatePrimary({ primaryHandle: owner({ ownerAuth }), inPublic: SRK_P256 }))
  return key.public.raw.slice()
}

export function owner({ ownerAuth }: { readonly ownerAuth?: Uint8Array | undefined }): typeof OWNER {
  return ownerAuth === undefined ? OWNER : withAuth(OWNER, ownerAuth)
}

/** @throws {@link RecoveryError} `PIN` when the TPM shows another storage key: another TPM, a cleared one, or somebody in between. */
export async function openStorageKey(pinned: PinnedTpm): Promise<LoadedObject> {
  const key = await pinned.tpm.execute(CreatePrimary({ primaryHandle: owner(pinned), inPublic: SRK_P256 }))
  if (equal(key.public.raw, pinned.storageKey)) return key
  await key.flush()
  throw new RecoveryError('PIN', {
    message: 'The TPM shows another storage key than the one that was pinned for this host.',
    hint: 'It is another TPM, it was cleared, or something between host and TPM answers for it. If it was cleared on purpose, provision the host anew.',
  })
}

/** A session that only the pinned TPM can take part in, and that encrypts. */
export function startSession(tpm: Tpm, storageKey: LoadedObject, sessionType: SessionType): Promise<Session> {
  return tpm.execute(StartAuthSession({ sessionType, tpmKey: storageKey, encrypt: true }))
}

/** Seals at most 128 bytes; they go to the TPM encrypted. */
export function seal(pinned: PinnedTpm, policy: Policy, secret: Secret): Promise<SealedObject> {
  return inTurn(pinned, () => sealNow(pinned, policy, secret))
}

async function sealNow(pinned: PinnedTpm, policy: Policy, secret: Secret): Promise<SealedObject> {
  await using parentHandle = await openStorageKey(pinned)
  await using session = await startSession(pinned.tpm, parentHandle, 'hmac')
  const inPublic = sealedTemplate(policy.digest)
  const create = Create({ parentHandle, inPublic, inSensitive: { data: secret.bytes } })
  try {
    const { outPrivate, outPublic } = await pinned.tpm.execute(create, { sessions: [session] })
    return { private: outPrivate, public: outPublic.raw }
  } finally {
    create.parameters.fill(0)
  }
}

/** Clauses, or how to get them once the session is there: who signs for a session must know its nonce. */
export type Clauses = readonly RuledClause[] | ((nonceTpm: Uint8Array) => Promise<readonly RuledClause[]>)

/**
 * Opens a sealed object by its policy.
 *
 * @throws {@link RecoveryError} `PIN`; TpmError when the TPM fails rather than refuses.
 */
export async function unseal(pinned: PinnedTpm, sealed: SealedObject, clauses: Clauses): Promise<Opened> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await unsealOnce(pinned, sealed, clauses)
    } catch (error) {
      if (!isResponse(error, 'TPM_RC_PCR_CHANGED') || attempt === ATTEMPTS_MAX) throw error
    }
  }
}

async function unsealOnce(pinned: PinnedTpm, sealed: SealedObject, clauses: Clauses): Promise<Opened> {
  if (typeof clauses !== 'function') {
    return await inTurn(pinned, async () => {
      await using storageKey = await openStorageKey(pinned)
      await using session = await startSession(pinned.tpm, storageKey, 'policy')
      await using item = await load(pinned, sealed, storageKey)
      return await meetAndUnseal(pinned, session, { item, ruled: clauses })
    })
  }
  await using session = await inTurn(pinned, async () => {
    await using storageKey = await openStorageKey(pinned)
    return await startSession(pinned.tpm, storageKey, 'policy')
  })
  const ruled = await clauses(session.nonceTpm)
  return await inTurn(pinned, async () => {
    await using storageKey = await openStorageKey(pinned)
    await using item = await load(pinned, sealed, storageKey)
    return await meetAndUnseal(pinned, session, { item, ruled })
  })
}

function load({ tpm }: PinnedTpm, sealed: SealedObject, parentHandle: LoadedObject): Promise<LoadedObject> {
  return tpm.execute(Load({ parentHandle, inPrivate: sealed.private, inPublic: decodeTpmtPublic(sealed.public) }))
}

async function meetAndUnseal(
  pinned: PinnedTpm,
  session: Session,
  { item, ruled }: { readonly item: LoadedObject; readonly ruled: readonly RuledClause[] },
): Promise<Opened> {
  const { tpm } = pinned
  let position = 0
  try {
    const clauses = ruled.map(({ clause }) => clause)
    await meetPolicy(tpm, session, clauses, { at: (at) => (position = at) })
    position = ruled.length
    const { outData } = await tpm.execute(Unseal({ itemHandle: item }), { sessions: [session] })
    return { kind: 'opened', secret: Secret.owning(outData) }
  } catch (error) {
    const response = error instanceof TpmError ? error.response?.name : undefined
    if (response === undefined || !REFUSALS.has(response)) throw error
    const rule = response === 'TPM_RC_EXPIRED' ? 'operators' : (ruled[position]?.rule ?? 'policy')
    return { kind: 'refused', rule, response, position }
  }
}
