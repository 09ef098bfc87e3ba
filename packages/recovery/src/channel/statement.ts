/**
 * What the two sides of a channel quote, and how one quote covers many statements. Truth: spec/channel.md §4.
 */

import { inclusionPaths, rootFromPath, sized, treeHash, tupleDigest, utf8 } from '@reprise/core'
import { nodeCrypto } from '@reprise/host/crypto'
import type { HostId } from '../types.ts'
import { BATCH_MAX } from './limits.ts'

/** Who opened the channel is `asking`. */
export type Role = 'asking' | 'witness'

export interface PeerFacts {
  readonly asking: HostId
  readonly witness: HostId
  /** SHA-256 of SubjectPublicKeyInfo, DER. */
  readonly tlsKeyAsking: Uint8Array
  readonly tlsKeyWitness: Uint8Array
  /** 32 bytes of the TLS exporter. */
  readonly exporter: Uint8Array
  readonly nonceAsking: Uint8Array
  readonly nonceWitness: Uint8Array
}

export const { sha256 } = nodeCrypto

/** spec/recovery.md §3. The roles stop one side's quote from being the other's. */
export function peerStatement(role: Role, facts: PeerFacts): Uint8Array {
  return tupleDigest(
    sha256,
    'reprise/peer/v1',
    ...sized(utf8(role)),
    ...sized(utf8(facts.asking)),
    ...sized(utf8(facts.witness)),
    ...sized(facts.tlsKeyAsking),
    ...sized(facts.tlsKeyWitness),
    ...sized(facts.exporter),
    ...sized(facts.nonceAsking),
    ...sized(facts.nonceWitness),
  )
}

/** Where a statement stands in what was quoted. */
export interface BatchPlace {
  /** From 0. */
  readonly index: number
  /** How many statements the quote covers. */
  readonly count: number
  /** Sibling digests from the leaf upwards. */
  readonly path: readonly Uint8Array[]
}

const tree = treeHash('peers', sha256)

/** @returns What is quoted, and the place of each statement. */
export function batchOf(statements: readonly Uint8Array[]): {
  readonly root: Uint8Array
  readonly places: readonly BatchPlace[]
} {
  const leaves = statements.map((statement) => tree.leaf(statement))
  const { root, paths } = inclusionPaths(tree, leaves)
  return { root, places: paths.map((path, index) => ({ index, count: leaves.length, path })) }
}

/** @returns What must have been quoted; undefined when the path is not exactly of the length that its place demands. */
export function batchRoot(statement: Uint8Array, { index, count, path }: BatchPlace): Uint8Array | undefined {
  if (count > BATCH_MAX) return undefined
  return rootFromPath(tree, { leaf: tree.leaf(statement), index, leafCount: count, path })
}
