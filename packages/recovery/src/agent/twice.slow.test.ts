/** What is asked twice because an answer was late. */

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { shareDigest } from '../plan/digest.ts'
import { sha256 } from '../sealing/words.ts'
import { statePaths } from './state/folder.ts'
import { WITNESS_FILE } from './state/witness-file.ts'
import { type Lab, makeLab } from './testing.ts'

let lab: Lab
beforeAll(async () => {
  lab = await makeLab()
})
afterAll(() => lab[Symbol.asyncDispose]())

test('a share that is handed out twice at a time is kept once', async () => {
  const [owner, witness] = lab.hosts
  const agent = await lab.powerOn(owner)
  await lab.powerOn(witness)
  // Those that the witness asks whether they know the owner.
  for (const other of lab.hosts.slice(2, 4)) await lab.powerOn(other)
  const opened = await agent.ground.network.reach(witness.name)
  if (opened.kind !== 'attested') throw new Error(opened.why)
  const place = { host: owner.name, epoch: 1, index: agent.ground.fleet().witnesses.indexOf(witness.name) }
  const bytes = new Uint8Array(33).fill(1)
  const share = { ...place, bytes, digest: shareDigest(place, bytes, sha256) }
  const prepare = { kind: 'prepare', share, leaseKey: new Uint8Array(65).fill(4), succession: [] } as const
  const answers = await Promise.all([1, 2, 3].map(() => opened.channel.say(prepare, 30_000)))
  expect(answers).toEqual(answers.map(() => ({ kind: 'prepared', epoch: 1 })))
  const file = WITNESS_FILE.decode(JSON.parse(readFileSync(statePaths(witness.state).witness, 'utf8')), 'file')
  expect(file.wards.map(({ host, shares }) => [host, shares.length])).toEqual([[owner.name, 1]])
})
