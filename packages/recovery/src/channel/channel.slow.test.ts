/** Channels between real (software) TPMs. */

import { hex, type PublicArea } from '@reprise/core'
import {
  attestationKeyTemplate,
  CreatePrimary,
  ENDORSEMENT,
  type Entity,
  OWNER,
  PcrExtend,
  signingKeyTemplate,
} from '@reprise/tpm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { capBoot } from '../sealing/boot-state.ts'
import { TestChip } from '../sealing/testing.ts'
import type { Attested, HostTpm } from './channel.ts'
import { hostTpm } from './host-tpm.ts'
import type { PlanView } from './plan-view.ts'
import { type ChannelServer, serveChannels } from './serve.ts'
import { openChannel } from './open.ts'
import { identities, opened } from './testing/lab.ts'
import { softwareHost, viewOf } from './testing/software-host.ts'

const chips: Record<'asking' | 'witness', TestChip> = Object.create(null) as never
const seen: Attested[] = []
let server: ChannelServer
let view: PlanView
const boots = [
  { name: 'release 1', registers: new Map(TestChip.stateOf('release 1').map(({ pcr, value }) => [pcr, value])) },
]

const AK = attestationKeyTemplate(new Uint8Array(32))

async function hostOf(host: string, chip: TestChip, key: PublicArea = AK, hierarchy: Entity = ENDORSEMENT) {
  const ak = await chip.tpm.execute(CreatePrimary({ primaryHandle: hierarchy, inPublic: key }))
  return { tpm: hostTpm(chip.tpm, { host, ak }), ak: hex(ak.name), [Symbol.asyncDispose]: () => ak.flush() }
}

/** The plan has this key for the asking host. */
function planned(ak: string): PlanView {
  const asking = { ak, state: 'active' as const, address: '127.0.0.1:1' }
  return { ...view, hosts: new Map([...view.hosts, ['web-1', asking]]), digest: new Uint8Array(32).fill(1) }
}

const open = (tpm: HostTpm): ReturnType<typeof openChannel> =>
  openChannel({ tpm, view, to: 'witness-1', timeoutMs: 60_000, identity: identities.asking })

beforeAll(async () => {
  chips.asking = await TestChip.lay()
  await chips.asking.boot()
  chips.witness = await TestChip.lay(1)
  await chips.witness.boot()
  const { tpm, ak } = await hostOf('witness-1', chips.witness)
  view = viewOf([{ host: 'witness-1', ak, state: 'active', address: '' }], { boots })
  server = await serveChannels({
    ...{ tpm, view: () => view, address: { host: '127.0.0.1', port: 0 }, identity: identities.witness },
    answer(from) {
      seen.push(from)
      return Promise.resolve({ kind: 'taken', planVersion: 1 })
    },
    limits: { unattestedPerAddress: 64, attestMs: 60_000, helloMs: 60_000 },
  })
  view = viewOf([{ host: 'witness-1', ak, state: 'active', address: server.address }], { boots })
})

afterAll(async () => {
  await server.close()
  for (const chip of Object.values(chips)) await chip[Symbol.asyncDispose]()
})

async function attestedAs(tpm: HostTpm): Promise<Attested | undefined> {
  const channel = opened(await open(tpm))
  expect(channel.peer).toMatchObject({ host: 'witness-1', boot: 'release 1', isCapped: false })
  await channel.say({ kind: 'status' }, 60_000)
  channel.close()
  return seen.at(-1)
}

test('two hosts see of each other what their TPMs say', async () => {
  let resetCount: number | undefined
  {
    await using host = await hostOf('web-1', chips.asking)
    view = planned(host.ak)
    const first = await attestedAs(host.tpm)
    expect(first).toMatchObject({ host: 'web-1', boot: 'release 1', isCapped: false, restartCount: 0 })
    expect(first?.firmwareVersion).toBeGreaterThan(0n)
    resetCount = first?.resetCount
    // What is measured now is in the next quote, though values were read before.
    await capBoot(chips.asking.tpm)
    expect(await attestedAs(host.tpm)).toMatchObject({ boot: 'release 1', isCapped: true, resetCount })
    const digests = { sha256: new Uint8Array(32).fill(1) }
    await chips.asking.tpm.execute(PcrExtend({ pcrHandle: 7, digests }))
    expect(await attestedAs(host.tpm)).toMatchObject({ boot: undefined, isCapped: true })
  }
  await chips.asking.cut()
  await chips.asking.boot()
  {
    await using again = await hostOf('web-1', chips.asking)
    const after = await attestedAs(again.tpm)
    expect(after).toMatchObject({ boot: 'release 1', isCapped: false, resetCount: (resetCount ?? 0) + 1 })
  }
  await chips.asking.suspend()
  await chips.asking.boot('release 2')
  await using foreign = await hostOf('web-1', chips.asking)
  expect(await attestedAs(foreign.tpm)).toMatchObject({ boot: undefined, restartCount: 1 })
})

test('a key of another kind is none, though the TPM holds it and the plan has it', async () => {
  const kinds = [
    ['signs anything', signingKeyTemplate(), ENDORSEMENT, /must be restricted/],
    ['is of the owner', AK, OWNER, /no primary key of the endorsement hierarchy/],
  ] as const
  for (const [_how, key, hierarchy, why] of kinds) {
    await using host = await hostOf('web-1', chips.asking, key, hierarchy)
    view = planned(host.ak)
    expect(await open(host.tpm)).toMatchObject({ kind: 'unattested', why: expect.stringMatching(why) as string })
  }
})

test('many at once are answered by few quotes of one TPM', async () => {
  const hosts = Array.from({ length: 32 }, (_, i) => softwareHost(`web-${i + 2}`))
  const known = hosts.map(({ host, ak }) => [host, { ak, state: 'active' as const, address: '127.0.0.1:1' }] as const)
  view = { ...view, hosts: new Map([...view.hosts, ...known]), digest: new Uint8Array(32).fill(2) }
  const channels = (await Promise.all(hosts.map(open))).map(opened)
  await Promise.all(channels.map((channel) => channel.say({ kind: 'status' }, 60_000)))
  for (const channel of channels) channel.close()
  expect(new Set(seen.slice(-32).map(({ host }) => host)).size).toBe(32)
})
