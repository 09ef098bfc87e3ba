/** Whether a peer is who it says, by the plan and by what its TPM signed. Truth: spec/channel.md §4. */

import {
  decodeTpmsAttest,
  decodeTpmtPublic,
  decodeTpmtSignature,
  equal,
  hex,
  objectName,
  pcrDigest,
  qualifiedName,
  TPM_ALG,
  TPM_RH,
  TPM_ST,
  TPMA_OBJECT,
  type TpmsAttest,
  type TpmtPublic,
  type PublicKey,
  toPublicKey,
} from '@reprise/core'
import { nodeCrypto } from '@reprise/host/crypto'
import type { Hello, ProofFrame } from './frames.ts'
import type { PlanView } from './plan-view.ts'
import { batchRoot } from './statement.ts'

/** It is not who it should be; the message is for people. */
export class Unattested extends Error {}

/** A peer whose key is that of an active host of the roster; that it has the key is still to be shown. */
export interface Admitted extends KnownKey {
  readonly hello: Hello
}

interface KnownKey {
  readonly area: TpmtPublic
  readonly key: PublicKey
  readonly name: Uint8Array
  /** As a primary key of the endorsement hierarchy. */
  readonly qualifiedName: Uint8Array
}

/** Keys of the roster that were read: what makes up a tenth of an attestation otherwise. By TPMT_PUBLIC, hex. */
const knownKeys = new Map<string, KnownKey>()
const KNOWN_MAX = 1024

const { fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign, decrypt } = TPMA_OBJECT
const NEEDED = fixedTPM | fixedParent | sensitiveDataOrigin | restricted | sign

/** @throws {@link Unattested} */
export function admit(view: PlanView, hello: Hello, own: string): Admitted {
  const { host } = hello
  if (host === own) throw new Unattested(`it says that it is ${host}, as this host is`)
  const known = view.hosts.get(host)
  if (known === undefined) throw new Unattested(`the plan (version ${view.version}) has no host ${host}`)
  if (known.state !== 'active') throw new Unattested(`${host} is ${known.state} in the plan (version ${view.version})`)
  if (known.ak === undefined) throw new Unattested(`${host} has no attestation key in the plan: it is not provisioned`)
  const key = knownKey(hello.akPublic)
  const { area } = key
  if (hex(key.name) !== known.ak)
    throw new Unattested(`its attestation key is not the one that the plan has for ${host}`)
  if ((area.objectAttributes & NEEDED) !== NEEDED || (area.objectAttributes & decrypt) !== 0)
    throw new Unattested(`the attestation key of ${host} is none: it must be restricted, signing, and fixed to its TPM`)
  knownKeys.set(hex(hello.akPublic), key)
  if (knownKeys.size > KNOWN_MAX) knownKeys.delete(knownKeys.keys().next().value ?? '')
  return { hello, ...key }
}

function knownKey(akPublic: Uint8Array): KnownKey {
  return knownKeys.get(hex(akPublic)) ?? readKey(akPublic)
}

function readKey(akPublic: Uint8Array): KnownKey {
  try {
    const area = decodeTpmtPublic(akPublic)
    const { hash } = nodeCrypto
    const name = objectName(area, hash)
    const primary = qualifiedName({ parent: TPM_RH.ENDORSEMENT, name, hash })
    return { area, key: toPublicKey(area), name, qualifiedName: primary }
  } catch (cause) {
    throw new Unattested('its attestation key cannot be read', { cause })
  }
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
  { key, qualifiedName: primary, hello: { host } }: Admitted,
  proof: ProofFrame,
  expected: { readonly statement: Uint8Array; readonly pcrs: readonly number[] },
): Verified {
  const attest = decoded(() => decodeTpmsAttest(proof.attest))
  const { scheme, signature } = decoded(() => decodeTpmtSignature(proof.signature))
  if (scheme.hash !== 'sha256') throw new Unattested(`the quote of ${host} is signed with ${scheme.hash}`)
  if (nodeCrypto.verify({ key, scheme, message: proof.attest, signature }) !== true)
    throw new Unattested(`the quote is not signed by the attestation key of ${host}`)
  if (attest.type !== TPM_ST.ATTEST_QUOTE) throw new Unattested(`the TPM of ${host} signed something that is no quote`)
  const root = batchRoot(expected.statement, proof)
  if (root === undefined || !equal(attest.extraData, root))
    throw new Unattested(
      `the quote of ${host} is not of this connection: somebody stands between, or repeats an old one`,
    )
  if (!equal(attest.qualifiedSigner, primary))
    throw new Unattested(`the attestation key of ${host} is no primary key of the endorsement hierarchy`)
  const [selection, ...others] = attest.attested.pcrSelect
  const isExact =
    others.length === 0 && selection?.hash === TPM_ALG.SHA256 && selection.pcrs.join() === expected.pcrs.join()
  if (!isExact || proof.registers.length !== expected.pcrs.length)
    throw new Unattested(`the quote of ${host} is not over the registers that it was asked for`)
  const registers = new Map(expected.pcrs.map((pcr, i) => [pcr, proof.registers[i]]))
  const digest = pcrDigest({
    ...{ hash: nodeCrypto.hash, algorithm: 'sha256', selection: attest.attested.pcrSelect },
    banks: { sha256: Object.fromEntries(registers) },
  })
  if (digest === undefined || !equal(digest, attest.attested.pcrDigest))
    throw new Unattested(`the registers that ${host} shows are not those that its TPM quoted`)
  return { attest, registers }
}

function decoded<T>(decode: () => T): T {
  try {
    return decode()
  } catch (cause) {
    throw new Unattested(`what it shows is nothing that a TPM made: ${(cause as Error).message}`, { cause })
  }
}
