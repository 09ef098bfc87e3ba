/**
 * An enrolling authority: challenges hosts, decides, issues certificates, revokes them, and keeps a log of all of it.
 * Everything it answers is on disk before. Format: spec/enrolment.md.
 */

import { equal, fromHex, hex } from '@reprise/core'
import { decodeCertificate } from '@reprise/core/certificates'
import { makeCredential } from '@reprise/tpm'
import { authorityId } from '../enrolment/chain.ts'
import type { EnrolAnswer, EnrolChallenge, EnrolDecision, EnrolRequest } from '../enrolment/messages.ts'
import { HostError } from '../error.ts'
import { readIfThere, writeAtomically } from '../files.ts'
import { sha256 } from '../hashing.ts'
import { toJson } from '../signer/decode.ts'
import { makeAkCertificate } from './certificate.ts'
import type { Event, Policy, RevocationReason } from './events.ts'
import { authorityPaths, type AuthorityPaths, readSettings, type Settings } from './home.ts'
import { type AuthorityKey, openKey } from './key.ts'
import { checkQuote, readHostKeys } from './keys.ts'
import { AuthorityLog, type Transaction } from './log.ts'
import { judge, others, refuse } from './policy.ts'
import { refusal, refusalCode } from './refusal.ts'
import { makeRevocationList } from './revocations.ts'
import type { AuthorityWorld } from './world.ts'
import { AuthorityState, type IssuedCertificate, isValid, type RequestState } from './state.ts'

/** Unanswered challenges at a time. */
const OPEN_CHALLENGES_MAX = 10_000
const SECRET_BYTES = 32
const DAY_MS = 86_400_000
const LIST_DAYS = 7

export interface OpenAuthorityOptions {
  readonly home: string
  readonly passphrase?: string
  readonly world: AuthorityWorld
}

/** @throws {@link HostError} `AUTHORITY_HOME`, `AUTHORITY_KEY`, `AUTHORITY_LOG`. */
export async function openAuthority(options: OpenAuthorityOptions): Promise<Authority> {
  const paths = authorityPaths(options.home)
  const settings = await readSettings(paths)
  if (settings === undefined) {
    throw new HostError('AUTHORITY_HOME', {
      message: `There is no authority in ${paths.home}.`,
      hint: 'Make one: reprise authority init; or give its folder: --home FOLDER',
    })
  }
  const authority = new Authority(paths, settings, options)
  await authority.read()
  return authority
}

export class Authority {
  readonly settings: Settings
  readonly paths: AuthorityPaths
  /** SHA-256 of the SubjectPublicKeyInfo of the root. */
  readonly id: Uint8Array
  /** As of the last transaction. */
  readonly state = new AuthorityState()
  readonly log: AuthorityLog
  readonly #world: AuthorityWorld
  readonly #passphrase: string | undefined
  /** No certificate outlives its issuer. */
  readonly #rootEndMs: number
  #key: Promise<AuthorityKey> | undefined

  constructor(paths: AuthorityPaths, settings: Settings, options: OpenAuthorityOptions) {
    this.paths = paths
    this.settings = settings
    this.id = authorityId(settings.root)
    this.#rootEndMs = decodeCertificate(settings.root).notAfterMs
    this.#world = options.world
    this.#passphrase = options.passphrase
    this.log = new AuthorityLog({
      path: paths.log,
      apply: (entry) => this.state.apply(entry),
      now: options.world.now,
    })
  }

  get policy(): Policy {
    return this.state.policy
  }

  /** Changes the policy for this and every other process. @returns Whether it was another one before. */
  async setPolicy(changes: Partial<Policy>): Promise<boolean> {
    return await this.log.transact(async ({ append }) => {
      const policy = { ...this.policy, ...changes }
      const isSame = JSON.stringify(toJson(policy)) === JSON.stringify(toJson(this.policy))
      if (!isSame) await append({ kind: 'policy', ...policy })
      return !isSame
    })
  }

  /** Reads what others have written. */
  async read(): Promise<void> {
    await this.log.transact(async () => undefined)
  }

  /** That, and issues what was approved when a crash came between. @throws {@link HostError} `AUTHORITY_KEY`. */
  async refresh(): Promise<void> {
    await this.log.transact(async (transaction) => {
      for (const request of this.state.unsettled('approved')) await this.#issue(transaction, request)
    })
  }

  /** Opens the key, so that a wrong passphrase shows at once. @throws {@link HostError} `AUTHORITY_KEY`. */
  async unlock(): Promise<void> {
    await this.log.transact(() => this.#openKey())
    await this.refresh()
  }

  /**
   * Challenges a host to prove that its keys are in one TPM.
   *
   * @param options.seconds - How long it may take, when that is not the policy's time.
   * @throws {@link HostError} `ENROLMENT_REFUSED`.
   */
  async challenge(
    asked: EnrolRequest,
    { origin, seconds }: { readonly origin: string; readonly seconds?: number },
  ): Promise<EnrolChallenge> {
    const { ak, ek, ekName } = readHostKeys(asked)
    if (await this.log.isBehind()) await this.read()
    const { name, akPublic, ekPublic, ekCertificate, ekIssuers } = asked
    const now = this.#world.now()
    const { tier, reason } = await this.#world.tierOf(asked, this.policy.ekRoots)
    const request = this.#world.random(32)
    const secret = this.#world.random(SECRET_BYTES)
    const made = makeCredential({ key: ek, objectName: ak.name, credential: secret, random: this.#world.random })
    const expiresAt = new Date(now.getTime() + 1000 * (seconds ?? this.policy.challengeSeconds)).toISOString()
    const event: Event = {
      ...{ kind: 'requested', request, name, akPublic, akName: ak.name, ekPublic, ekName, ekCertificate, ekIssuers },
      ...{ tier, tierReason: reason, secretDigest: sha256(secret), expiresAt, origin },
    }
    await this.log.transact(async ({ append }) => {
      await this.#expire(append, now)
      if (this.state.openChallenges >= OPEN_CHALLENGES_MAX)
        throw refusal('BUSY', `${OPEN_CHALLENGES_MAX} challenges are open.`, 'Try again in some minutes.')
      const verdict = judge(event, name, { state: this.state, policy: this.policy, now })
      if (verdict.kind === 'refuse') throw refuse(verdict)
      await append(event)
    })
    const { credentialBlob, secret: encryptedSecret } = made
    const { root } = this.settings
    return { schema: 'reprise/enrol-challenge/v1', request, name, root, credentialBlob, encryptedSecret, expiresAt }
  }

  /** Challenges whose time is over make room. */
  async #expire(append: Transaction['append'], now: Date): Promise<void> {
    const expired = this.state.unsettled('challenged').filter(({ expiresAt }) => now > new Date(expiresAt))
    const why = 'The challenge was not answered in time.'
    if (expired.length > 0)
      await append(...expired.map(({ request }) => ({ kind: 'failed', request, code: 'EXPIRED', why }) as const))
  }

  /**
   * Takes the answer to a challenge, once; approves and issues when the policy says so.
   *
   * @throws {@link HostError} `ENROLMENT_REFUSED`; a wrong answer uses the challenge up.
   */
  async answer(answer: EnrolAnswer): Promise<EnrolDecision> {
    return await this.log.transact(async (transaction) => {
      const now = this.#world.now()
      await this.#expire(transaction.append, now)
      const asked = this.#request(answer.request)
      if (asked.state === 'failed' && asked.reason.startsWith('EXPIRED'))
        throw refusal('EXPIRED', `The challenge was good until ${asked.expiresAt}.`, 'Begin again.')
      if (asked.state !== 'challenged') throw refusal('USED', 'The challenge was answered before.', 'Begin again.')
      try {
        await this.#check(answer, asked)
      } catch (error) {
        const code = refusalCode(error) ?? 'QUOTE'
        const { request } = asked
        await transaction.append({ kind: 'failed', request, code, why: (error as Error).message.slice(0, 1000) })
        throw error
      }
      await this.#replaceOlder(transaction, asked)
      await transaction.append({ kind: 'proved', request: asked.request, quote: answer.quote })
      await this.#decide(transaction, asked, now)
      return this.#decision(asked)
    })
  }

  async #check(answer: EnrolAnswer, asked: RequestState): Promise<void> {
    const { request, ekName, name } = asked
    const { secret } = answer
    if (!equal(sha256(secret), asked.secretDigest))
      throw refusal('SECRET', 'The answer does not have what the challenge hides.')
    const { ak } = readHostKeys({ schema: 'reprise/enrol-request/v1', ...asked })
    const proof = { authority: this.id, request, hostId: ak.hostId, ekName, name, secret }
    await checkQuote(ak, answer.quote, proof)
  }

  /** A host that begins again does not wait twice. */
  async #replaceOlder({ append }: Transaction, { request, akName }: RequestState): Promise<void> {
    for (const older of this.state.unsettled('waiting')) {
      if (!equal(older.akName, akName)) continue
      await append({ kind: 'rejected', request: older.request, by: 'authority', reason: `replaced by ${hex(request)}` })
    }
  }

  async #decide(transaction: Transaction, asked: RequestState, now: Date): Promise<void> {
    const verdict = judge(asked, asked.name, { state: this.state, policy: this.policy, now })
    const { request, name } = asked
    if (verdict.kind === 'wait') return
    if (verdict.kind === 'refuse') {
      const reason = `${verdict.code}: ${verdict.why}`
      await transaction.append({ kind: 'rejected', request, by: 'policy', reason })
      return
    }
    await transaction.append({ kind: 'approved', request, name, by: verdict.by })
    await this.#issue(transaction, asked)
  }

  async #issue({ append }: Transaction, asked: RequestState): Promise<void> {
    const now = this.#world.now()
    const key = await this.#openKey()
    const { approvedName: name, akName, ekName, ekCertificate, tier, request } = asked
    const endMs = Math.min(now.getTime() + this.policy.certificateDays * DAY_MS, this.#rootEndMs)
    const notAfter = new Date(Math.floor(endMs / 1000) * 1000)
    const { ak } = readHostKeys({ schema: 'reprise/enrol-request/v1', ...asked })
    const statement = {
      ...{ akName, tier, ekName },
      ...(ekCertificate !== null && { ekCertificate: sha256(ekCertificate) }),
    }
    const replaced = this.policy.sameEk === 'keep' ? [] : others(asked, { state: this.state, now })
    const { der: certificate, serial } = await makeAkCertificate(
      key,
      { root: this.settings.root, hostName: name, akKey: ak.key, statement, notAfter },
      { now, random: this.#world.random },
    )
    await append(
      { kind: 'issued', request, serial, certificate, notAfter: notAfter.toISOString() },
      ...replaced.map((old) => ({ kind: 'revoked', serial: fromHex(old.serial), reason: 'superseded' }) as const),
    )
    if (replaced.length > 0) await this.#sign({ append })
  }

  /** @throws {@link HostError} `ENROLMENT_REFUSED` `UNKNOWN`. */
  async decision(request: Uint8Array): Promise<EnrolDecision> {
    // Another process may have decided meanwhile, or may have been killed before it issued.
    const state = this.state.requests.get(hex(request))?.state
    if (state === 'approved' || (await this.log.isBehind())) await this.refresh()
    return this.#decision(this.#request(request))
  }

  #decision({ request, state, reason, approvedName: name, serial }: RequestState): EnrolDecision {
    const { root } = this.settings
    const certificate = serial === null ? undefined : this.state.certificates.get(serial)
    const said = state === 'failed' ? 'rejected' : state === 'approved' ? 'waiting' : state
    const certificates = certificate === undefined ? [] : [certificate.der]
    return { schema: 'reprise/enrol-decision/v1', request, state: said, name, root, certificates, reason }
  }

  #request(id: Uint8Array): RequestState {
    const request = this.state.requests.get(hex(id))
    if (request === undefined) throw refusal('UNKNOWN', 'There is no such request.', 'Begin again.')
    return request
  }

  /**
   * An operator's yes. @param idStart - The beginning of the request's id. @param name - Instead of the name asked for.
   *
   * @throws {@link HostError} `AUTHORITY_NAME`, `AUTHORITY_STATE`; `ENROLMENT_REFUSED` when nobody may allow it.
   */
  async approve(idStart: string, name?: string): Promise<EnrolDecision> {
    return await this.log.transact(async (transaction) => {
      const asked = this.#find(idStart)
      if (asked.state === 'approved') await this.#issue(transaction, asked)
      if (asked.state === 'issued') return this.#decision(asked)
      if (asked.state !== 'waiting') throw notWaiting(asked)
      const called = name ?? asked.name
      const verdict = judge(asked, called, { state: this.state, policy: this.policy, now: this.#world.now() })
      if (verdict.kind === 'refuse') throw refuse(verdict)
      // Before the decision is written: without the key nothing can come of it.
      await this.#openKey()
      await transaction.append({ kind: 'approved', request: asked.request, name: called, by: 'operator' })
      await this.#issue(transaction, asked)
      return this.#decision(asked)
    })
  }

  /** An operator's no. @throws {@link HostError} `AUTHORITY_NAME`, `AUTHORITY_STATE`. */
  async reject(idStart: string, reason: string): Promise<EnrolDecision> {
    return await this.log.transact(async ({ append }) => {
      const asked = this.#find(idStart)
      if (asked.state !== 'waiting' && asked.state !== 'challenged') throw notWaiting(asked)
      await append({ kind: 'rejected', request: asked.request, by: 'operator', reason })
      return this.#decision(asked)
    })
  }

  #find(idStart: string): RequestState {
    const found = [...this.state.requests].filter(([id]) => id.startsWith(idStart))
    if (found.length === 1) return found[0][1]
    const hint = 'See the requests with: reprise authority list --all'
    const message = `${found.length === 0 ? 'No request begins' : `${found.length} requests begin`} with ${idStart}.`
    throw new HostError('AUTHORITY_NAME', { message, hint })
  }

  /**
   * Revokes certificates and signs a new list.
   *
   * @param name - A serial number, an AK Name (then all of that key), or the name of a host (then all of it).
   * @returns What was revoked.
   * @throws {@link HostError} `AUTHORITY_NAME` when there is nothing to revoke.
   */
  async revoke(name: string, reason: RevocationReason): Promise<readonly IssuedCertificate[]> {
    return await this.log.transact(async ({ append }) => {
      const named = this.state.certificates.get(name)
      const all = named === undefined ? [...this.state.of('ak', name), ...this.state.of('name', name)] : [named]
      const revoking = all.filter(({ revoked }) => revoked === null)
      if (revoking.length === 0) {
        throw new HostError('AUTHORITY_NAME', {
          message: `No certificate that is not revoked has the serial number, AK Name or host name ${name}.`,
          hint: 'See them with: reprise authority list',
        })
      }
      await this.#openKey()
      await append(...revoking.map(({ serial }) => ({ kind: 'revoked', serial: fromHex(serial), reason }) as const))
      await this.#sign({ append })
      return revoking
    })
  }

  /** Lets an endorsement key enrol without being asked about, under `approve: 'known'`. @param ek - Its Name, or SHA-256 of its certificate. */
  async allow(ek: Uint8Array, name: string | null): Promise<void> {
    await this.log.transact(({ append }) => append({ kind: 'allowed', ek, name }))
  }

  /** @throws {@link HostError} `AUTHORITY_NAME` when it is not on the list. */
  async disallow(ek: Uint8Array): Promise<void> {
    await this.log.transact(async ({ append }) => {
      if (!this.state.allowed.has(hex(ek)))
        throw new HostError('AUTHORITY_NAME', { message: `The endorsement key ${hex(ek)} is not on the list.` })
      await append({ kind: 'disallowed', ek })
    })
  }

  /** The signed revocation list: the newest one, or a new one when that is half over or lacks something. */
  async revocations(): Promise<Uint8Array> {
    const current = (await this.log.isBehind()) ? undefined : await this.#currentList()
    return (
      current ??
      (await this.log.transact(async (transaction) => (await this.#currentList()) ?? this.#sign(transaction)))
    )
  }

  async #currentList(): Promise<Uint8Array | undefined> {
    const { list, listIsOld } = this.state
    if (list === null || listIsOld) return undefined
    const halfOverMs = new Date(list.nextUpdate).getTime() - (LIST_DAYS * DAY_MS) / 2
    if (this.#world.now().getTime() >= halfOverMs) return undefined
    const content = await readIfThere(this.paths.revocations)
    return content !== undefined && equal(sha256(content), list.sha256) ? content : undefined
  }

  async #sign({ append }: Transaction): Promise<Uint8Array> {
    const issuedAt = this.#world.now()
    const nextUpdate = new Date(issuedAt.getTime() + LIST_DAYS * DAY_MS)
    const number = (this.state.list?.number ?? 0) + 1
    const { state, id: authority } = this
    const made = await makeRevocationList(await this.#openKey(), { authority, state, number, issuedAt, nextUpdate })
    await append({ kind: 'listed', number, nextUpdate: nextUpdate.toISOString(), sha256: made.sha256 })
    await writeAtomically(this.paths.revocations, made.content)
    return made.content
  }

  /** Certificates that hold now. */
  valid(): IssuedCertificate[] {
    const now = this.#world.now()
    return [...this.state.certificates.values()].filter((certificate) => isValid(certificate, now))
  }

  #openKey(): Promise<AuthorityKey> {
    const { root, key } = this.settings
    this.#key ??= openKey(this.paths, key, { passphrase: this.#passphrase, root })
    this.#key.catch(() => (this.#key = undefined))
    return this.#key
  }
}

function notWaiting({ request, state, reason }: RequestState): HostError {
  const message = `The request ${hex(request)} is ${state}${reason === '' ? '' : ` (${reason})`}; it does not wait for an operator.`
  const hint = state === 'challenged' ? 'The host has not answered its challenge yet.' : undefined
  return new HostError('AUTHORITY_STATE', { message, ...(hint !== undefined && { hint }) })
}
