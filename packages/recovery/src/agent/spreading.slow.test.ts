/** What reaches all hosts from one of them: approvals within a version of the plan, and whose lease keys are whose. */

import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Answer } from '../channel/messages.ts'
import { encodeSignedPlan } from '../operators/index.ts'
import { shareDigest } from '../plan/digest.ts'
import { sha256 } from '../sealing/words.ts'
import { statePaths } from './state/folder.ts'
import { agentOf, type Lab, type LabHost, makeLab, provisionAll, until } from './testing.ts'

let lab: Lab
beforeAll(async () => {
  lab = await makeLab()
  await provisionAll(lab)
})
afterAll(() => lab[Symbol.asyncDispose]())

const held = ({ ground }: ReturnType<typeof agentOf>): number => ground.fleet().held().plan.approvals.length

test('approvals that were made at two hosts are with all of them, and one that does not hold is with none', async () => {
  lab.sign((plan) => plan)
  const { signed } = lab
  const { version } = signed.plan.roster
  const withApprovals = (approvals: typeof signed.approvals): Uint8Array => encodeSignedPlan({ ...signed, approvals })
  const [first, second, ...others] = signed.approvals
  const wrong = { ...second, signature: first.signature }
  await agentOf(lab.host('h1')).takePlan(withApprovals([]))
  const agents = lab.hosts.map(agentOf)
  await until(() => agents.every(({ ground }) => ground.fleet().plan.roster.version === version))
  expect(agents.map(held)).toEqual([0, 0, 0, 0, 0])
  await agentOf(lab.host('h2')).takePlan(withApprovals([first, wrong]))
  await until(() => agents.every((agent) => held(agent) === 1))
  await agentOf(lab.host('h3')).takePlan(withApprovals([second]))
  await agentOf(lab.host('h5')).takePlan(withApprovals(others))
  await until(() => agents.every((agent) => held(agent) === 5))
  for (const { state } of lab.hosts) {
    const { approvals } = JSON.parse(readFileSync(statePaths(state).plan, 'utf8')) as { approvals: unknown[] }
    expect(approvals).toHaveLength(5)
  }
})

/** A first share of h1 with a lease key of somebody's own. */
async function prepareAt(witness: LabHost): Promise<Answer> {
  const { ground } = agentOf(lab.host('h1'))
  const place = { host: 'h1', epoch: 90, index: ground.fleet().witnesses.indexOf(witness.name) }
  const bytes = new Uint8Array(33).fill(1)
  const share = { ...place, bytes, digest: shareDigest(place, bytes, sha256) }
  const opened = await ground.network.reach(witness.name)
  if (opened.kind !== 'attested') throw new Error(opened.why)
  const leaseKey = new Uint8Array(65).fill(4)
  return await opened.channel.say({ kind: 'prepare', share, leaseKey, succession: [] }, 60_000)
}

test('a witness that knows nothing of a host takes its first share by what the others know', async () => {
  const owner = agentOf(lab.host('h1'))
  const witness = lab.host('h4')
  await lab.crash(witness)
  const { witness: path } = statePaths(witness.state)
  const file = JSON.parse(readFileSync(path, 'utf8')) as { wards: { host: string }[] }
  writeFileSync(path, JSON.stringify({ ...file, wards: file.wards.filter(({ host }) => host !== 'h1') }))
  await lab.powerOn(witness)
  // The attested host itself, in an approved boot, without the secret that it was not released with.
  expect(await prepareAt(witness)).toMatchObject({ kind: 'failed', code: 'PROOF' })
  expect(agentOf(witness).stand().alarms[0].text).toMatch(/h1 handed out a share of epoch 90/)
  const away = [lab.host('h2'), lab.host('h3')]
  for (const host of away) await lab.crash(host)
  expect(await prepareAt(witness)).toMatchObject({ kind: 'failed' })
  for (const host of away) await lab.powerOn(host)
  const before = owner.life.epoch
  // All four have to keep their shares of it.
  expect(await owner.life.rotate(undefined)).toBeGreaterThan(before)
})
