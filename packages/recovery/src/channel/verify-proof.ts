/** Whether a peer is who it says, by the plan and by what its TPM signed. Truth: spec/channel.md §4. */

import { hex, type TpmsAttest } from '@reprise/core'
import { type AttestationKey, checkQuoteBy, keepAttestationKey, type QuoteFault, readAttestationKey } from '../quote.ts'
import type { Hello, ProofFrame } from './frames.ts'
import type { PlanView } from './plan-view.ts'
import { batchRoot } from './statement.ts'

/** It is not who it should be; the message is for people. */
export class Unattested extends Error {}

/** A peer whose key is that of an active host of the roster; that it has the key is still to be shown. */
export interface Admitted {
  readonly hello: Hello
  readonly key: AttestationKey
}

/** @throws {@link Unattested} */
export function admit(view: PlanView, hello: Hello, own: string): Admitted {
  const { host, akPublic } = hello
  if (host === own) throw new Unattested(`it says that it is ${host}, as this host is`)
  const known = view.hosts.get(host)
  if (known === undefined) throw new Unattested(`the plan (version ${view.version}) has no host ${host}`)
  if (known.state !== 'active') throw new Unattested(`${host} is ${known.state} in the plan (version ${view.version})`)
  if (known.ak === undefined) throw new Unattested(`${host} has no attestation key in the plan: it is not provisioned`)
  const key = readKey(akPublic)
  if (hex(key.name) !== known.ak)
    throw new Unattested(`its attestation key is not the one that the plan has for ${host}`)
  if (!key.isFit)
    throw new Unattested(`the attestation key of ${host} is none: it must be restricted, signing, and fixed to its TPM`)
  keepAttestationKey(akPublic, key)
  return { hello, key }
}

function readKey(akPublic: Uint8Array): AttestationKey {
  try {
    return readAttestationKey(akPublic)
  } catch (cause) {
    throw new Unattested('its attestation key cannot be read', { cause })
  }
}

/** What a fault of a quote says of a peer. */
const SAYS: Readonly<Record<QuoteFault, (host: string, why: string) => string>> = {
  structure: (_, why) => why,
  key: (host) => `the attestation key of ${host} is none`,
  hash: (host) => `the quote of ${host} is not signed with SHA-256`,
  signature: (host) => `the quote is not signed by the attestation key of ${host}`,
  type: (host) => `the TPM of ${host} signed something that is no quote`,
  statement: (host) => `the quote of ${host} is not of this connection: somebody stands between, or repeats an old one`,
  signer: (host) => `the attestation key of ${host} is no primary key of the endorsement hierarchy`,
  registers: (host) => `the quote of ${host} is not over the registers that it was asked for`,
  values: (host) => `the registers that ${host} shows are not those that its TPM quoted`,
}

export interface Verified {
  readonly attest: TpmsAttest
  readonly registers: ReadonlyMap<number, Uint8Array>
}

/**
 * @param expected.statement - What the peer must have quoted.
 * @param expected.pcrs - What it was asked for.
 * @throws {@link Unattested}
 */
export function verifyProof(
  { key, hello: { host } }: Admitted,
  proof: ProofFrame,
  expected: { readonly statement: Uint8Array; readonly pcrs: readonly number[] },
): Verified {
  const refused = (by: QuoteFault, why = ''): Unattested => new Unattested(SAYS[by](host, why))
  // A place that index and count do not have leads to no root.
  const statement = batchRoot(expected.statement, proof)
  if (statement === undefined) throw refused('statement')
  if (proof.registers.length !== expected.pcrs.length) throw refused('registers')
  const registers = expected.pcrs.map((pcr, i) => ({ pcr, value: proof.registers[i] }))
  const checked = checkQuoteBy(key, proof, { statement, registers })
  if (checked.kind === 'broken') throw refused(checked.by, checked.why)
  return { attest: checked.attest, registers: new Map(registers.map(({ pcr, value }) => [pcr, value])) }
}
