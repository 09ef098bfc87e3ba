/** Who may renew a lease and hand out shares: spec/agent.md §5. */

import { describe, expect, test } from 'vitest'
import { type HeartbeatFacts, heartbeatStatement } from '../plan/digest.ts'
import { leaseKey } from '../sealing/keys.ts'
import { Secret } from '../sealing/secret.ts'
import { sha256 } from '../sealing/words.ts'
import { isLedTo, type KnownKey, leasePoint, proveByLease, provesByLease, signSuccession } from './proofs.ts'

const root = (epoch: number): Secret => Secret.owning(new Uint8Array(32).fill(epoch))
const known = (epoch: number): KnownKey => ({ epoch, leaseKey: leasePoint(leaseKey(root(epoch))) })
const link = (after: number, epoch: number) =>
  signSuccession('h1', { epoch: after, root: root(after) }, { epoch, root: root(epoch) })

describe('a heartbeat', () => {
  const facts: HeartbeatFacts = {
    ...{ host: 'h1', witness: 'h2', epoch: 3, auditHead: new Uint8Array(32), auditLength: 7 },
    exporter: new Uint8Array(32).fill(1),
  }
  const proof = proveByLease(leaseKey(root(3)), heartbeatStatement(facts, sha256))
  const { leaseKey: point } = known(3)

  test('is proven by the lease key of its epoch', () => {
    expect(provesByLease(point, heartbeatStatement(facts, sha256), proof)).toBe(true)
    expect(provesByLease(known(4).leaseKey, heartbeatStatement(facts, sha256), proof)).toBe(false)
    expect(provesByLease(new Uint8Array(65).fill(4), heartbeatStatement(facts, sha256), proof)).toBe(false)
  })

  test.each<Partial<HeartbeatFacts>>([
    { host: 'h3' },
    { witness: 'h3' },
    { epoch: 4 },
    { auditHead: new Uint8Array(32).fill(2) },
    { auditLength: 8 },
    { exporter: new Uint8Array(32) },
  ])('does not hold for %o', (other) => {
    expect(provesByLease(point, heartbeatStatement({ ...facts, ...other }, sha256), proof)).toBe(false)
  })
})

describe('a succession', () => {
  test('leads over any number of links, in any order, and over an epoch that was given up', () => {
    const links = [link(5, 6), link(1, 2), link(1, 4), link(4, 5)]
    expect(isLedTo('h1', known(6), { known: [known(1)], links })).toBe(true)
    expect(isLedTo('h1', known(6), { known: [known(4)], links })).toBe(true)
    expect(isLedTo('h1', known(4), { known: [known(4)], links: [] })).toBe(true)
  })

  test.each([
    ['a link is missing', 6, [link(1, 2), link(4, 5), link(5, 6)]],
    ['nothing is known', 2, []],
    ['the key is another one', 2, [{ ...link(1, 2), leaseKey: known(9).leaseKey }]],
    ['the signature is by a later key', 2, [{ ...link(2, 3), after: 1, epoch: 2, leaseKey: known(2).leaseKey }]],
    ['it goes backwards', 1, [link(3, 1)]],
  ])('leads nowhere when %s', (_why, epoch, links) => {
    expect(isLedTo('h1', known(epoch), { known: epoch === 1 ? [known(3)] : [known(1)], links })).toBe(false)
  })

  test('is of one host', () => {
    expect(isLedTo('h2', known(2), { known: [known(1)], links: [link(1, 2)] })).toBe(false)
  })

  test('is not led on by a link from a key that a link only claims', () => {
    const claimed = { ...link(2, 3), after: 2 }
    expect(isLedTo('h1', known(3), { known: [known(1)], links: [claimed] })).toBe(false)
  })
})
