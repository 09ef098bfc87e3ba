/** Hello, quotes, round trips: both sides show who they are before a word is said. Truth: spec/channel.md §4. */

import { randomBytes } from 'node:crypto'
import type { HostId } from '../types.ts'
import type { Prover } from './batcher.ts'
import type { Attested, HostTpm } from './channel.ts'
import type { Hello, ProofFrame } from './frames.ts'
import type { Link } from './link.ts'
import { judgeRegisters, type PlanView, registersOf } from './plan-view.ts'
import { type PeerFacts, peerStatement, type Role } from './statement.ts'
import { type Admitted, admit, Unattested, verifyProof } from './verify-proof.ts'

export interface Attesting {
  readonly tpm: HostTpm
  readonly prover: Prover
  readonly view: PlanView
  /** SHA-256 of our own SubjectPublicKeyInfo. */
  readonly keyDigest: Uint8Array
  /** Who must be at the other end; undefined: any active host of the roster. */
  readonly to?: HostId
}

/**
 * @throws {@link Unattested} when the peer is not who it should be; what `link` rejects with when it ends before.
 */
export async function attest(link: Link, { tpm, prover, view, keyDigest, to }: Attesting): Promise<Attested> {
  const pcrs = registersOf(view)
  const own: Hello = {
    ...{ kind: 'hello', host: tpm.host, nonce: new Uint8Array(randomBytes(32)), akPublic: tpm.akPublic },
    ...{ planVersion: view.version, registers: pcrs },
  }
  link.send(own)
  const nearest = link.roundTrip()
  const hello = await link.next('hello')
  if (to !== undefined && hello.host !== to) throw new Unattested(`${hello.host} answers there, not ${to}`)
  const peer = admit(view, hello, tpm.host)
  const facts = factsOf(link, { own, hello, keyDigest })
  const prove = async (): Promise<void> => {
    const wanted = { pcrs: hello.registers, isWanted: () => link.isOpen }
    const proof = await Promise.race([prover.prove(peerStatement(link.role, facts), wanted), whenEnded(link)])
    link.send({
      ...{ kind: 'proof', attest: proof.attest, signature: proof.signature, ...proof.place },
      registers: hello.registers.map((pcr) => proof.registers.get(pcr) ?? new Uint8Array()),
    })
  }
  const check = async (): Promise<Pick<Attested, 'clockMs'> & Omit<Attested, 'roundTripMs'>> => {
    const frame = await link.next('proof')
    return judge({ peer, frame, view, pcrs, statement: peerStatement(otherRole(link.role), facts), link })
  }
  // Who opens the channel goes first: a stranger cannot have a witness's TPM sign for him.
  if (link.role === 'asking') {
    await prove()
    const proven = await check()
    return { ...proven, roundTripMs: await nearest }
  }
  const proven = await check()
  // Nothing of the peer's may come before its round trips are known, and it begins with our proof.
  const roundTripMs = await nearest
  await prove()
  return { ...proven, roundTripMs }
}

/** A link that has ended waits for no quote. */
async function whenEnded(link: Link): Promise<never> {
  throw (await link.ended) ?? new Unattested('it has left')
}

function otherRole(role: Role): Role {
  return role === 'asking' ? 'witness' : 'asking'
}

function factsOf(
  { role, peerKeyDigest, exporter }: Link,
  { own, hello, keyDigest }: { readonly own: Hello; readonly hello: Hello; readonly keyDigest: Uint8Array },
): PeerFacts {
  const ours = { host: own.host, key: keyDigest, nonce: own.nonce }
  const theirs = { host: hello.host, key: peerKeyDigest, nonce: hello.nonce }
  const [asking, witness] = role === 'asking' ? [ours, theirs] : [theirs, ours]
  return {
    ...{ asking: asking.host, witness: witness.host, exporter },
    ...{ tlsKeyAsking: asking.key, tlsKeyWitness: witness.key },
    ...{ nonceAsking: asking.nonce, nonceWitness: witness.nonce },
  }
}

function judge(seen: {
  readonly peer: Admitted
  readonly frame: ProofFrame
  readonly view: PlanView
  readonly pcrs: readonly number[]
  readonly statement: Uint8Array
  readonly link: Link
}): Omit<Attested, 'roundTripMs'> {
  const { peer, frame, view, pcrs, statement, link } = seen
  const { attest: quoted, registers } = verifyProof(peer, frame, { statement, pcrs })
  const { clock, resetCount, restartCount, safe } = quoted.clockInfo
  const { host, akPublic, planVersion } = peer.hello
  return {
    ...{ host, akPublic, planVersion, exporter: link.exporter },
    ...{ clockMs: Number(clock), resetCount, restartCount, isClockSafe: safe },
    firmwareVersion: quoted.firmwareVersion,
    ...judgeRegisters(view, host, registers),
  }
}
