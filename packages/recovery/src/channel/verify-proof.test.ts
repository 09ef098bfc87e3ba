import { describe, expect, test } from 'vitest'
import type { ProofFrame } from './frames.ts'
import { batchOf, sha256 } from './statement.ts'
import { softwareHost, viewOf } from './testing/software-host.ts'
import { admit, Unattested, verifyProof } from './verify-proof.ts'

const host = softwareHost('web-1')
const view = viewOf([{ host: 'web-1', ak: host.ak, state: 'active', address: '127.0.0.1:1' }])
const pcrs = [4, 7, 14]
const peer = admit(
  view,
  {
    ...{ kind: 'hello', host: 'web-1', nonce: new Uint8Array(32), akPublic: host.akPublic },
    ...{ planVersion: 1, registers: pcrs },
  },
  'witness-1',
)
const statements = [0, 1, 2].map((i) => sha256(Uint8Array.of(i)))
const { root, places } = batchOf(statements)
const { attest, signature, registers } = await host.quote(root, pcrs)
const proofs = places.map((place): ProofFrame => ({
  kind: 'proof',
  attest,
  signature,
  registers: [...registers.values()],
  ...place,
}))

function outcome(proof: ProofFrame, statement: Uint8Array): 'holds' | 'refused' {
  try {
    verifyProof(peer, proof, { statement, pcrs })
    return 'holds'
  } catch (error) {
    if (error instanceof Unattested) return 'refused'
    throw error
  }
}

/** The bytes with each single bit changed in turn. */
function* changes(bytes: Uint8Array): Generator<Uint8Array> {
  for (let bit = 0; bit < 8 * bytes.length; bit++) yield bytes.with(bit >> 3, bytes[bit >> 3] ^ (1 << (bit & 7)))
}

describe('a proof of a batch', () => {
  test('holds for the statement at its place and for no other', () => {
    for (const [i, proof] of proofs.entries())
      for (const [j, statement] of statements.entries())
        expect(outcome(proof, statement)).toBe(i === j ? 'holds' : 'refused')
  })

  test('does not hold with any bit of attestation or signature changed', () => {
    const [proof] = proofs
    for (const changed of changes(attest)) expect(outcome({ ...proof, attest: changed }, statements[0])).toBe('refused')
    for (const changed of changes(signature))
      expect(outcome({ ...proof, signature: changed }, statements[0])).toBe('refused')
  })

  test('does not hold with any bit of path, place or registers changed', () => {
    for (const [i, proof] of proofs.entries()) {
      for (const [at, digest] of proof.path.entries())
        for (const changed of changes(digest))
          expect(outcome({ ...proof, path: proof.path.with(at, changed) }, statements[i])).toBe('refused')
      for (const [at, value] of proof.registers.entries())
        for (const changed of changes(value))
          expect(outcome({ ...proof, registers: proof.registers.with(at, changed) }, statements[i])).toBe('refused')
      for (let count = 0; count <= 65; count++)
        for (let index = 0; index < 65; index++)
          if (count !== proof.count || index !== proof.index)
            expect(outcome({ ...proof, count, index }, statements[i])).toBe('refused')
    }
  })

  test('does not hold as the other half of its tree', () => {
    // A node of the tree, shown as if it were a statement: leaves have another tag.
    const [, second] = proofs
    expect(outcome({ ...second, index: 0, count: 2, path: [second.path[1]] }, second.path[0])).toBe('refused')
  })
})
