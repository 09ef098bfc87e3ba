/** From hosts with new TPMs to a fleet that works: offers, a signed plan, first generations. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { hex } from '@reprise/core'
import { askAgent } from '../agent/control/client.ts'
import {
  checkOffer,
  encodeSignedPlan,
  followingPlan,
  type Offer,
  signApprovals,
  type SignedPlan,
  signPlan,
} from '../operators/index.ts'
import { RecoveryError } from '../error.ts'
import { CAP_DEFAULT } from '../plan/boots.ts'
import { POLICY } from '../plan/sample.ts'
import type { HostId, Plan, PlanRegister, RecoveryPolicy, RosterHost } from '../types.ts'
import { writeAtomically } from '@reprise/host/files'
import { buildLabImage, LAB_SERVICES, type LabImage } from './image.ts'
import { type Lab, LAB_BOOT, LAB_PCRS } from './lab.ts'
import { type LabPeople, labPeople, OPERATORS_NEEDED } from './people.ts'

export interface LabFleet {
  readonly people: LabPeople
  readonly signed: SignedPlan
  readonly planPath: string
  readonly image: LabImage | undefined
  /** An earlier version, whose key every host has too. */
  readonly olderImage: LabImage | undefined
  /** What the service database of a host should be given. */
  readonly passwordOf: (host: HostId) => string
  /** Where services note what they saw. */
  readonly witnessed: string
}

export interface ProvisionSettings {
  readonly policy?: Partial<RecoveryPolicy>
  /** Without one there are no services. */
  readonly image: boolean | { readonly ballastBytes: number }
  readonly say?: (text: string) => void
}

const FLEET = 'lab'
/** Two busy cores are slow, and a laboratory has no distances: what a relay adds to a path is more than this. */
export const LAB_POLICY: RecoveryPolicy = {
  ...POLICY,
  ...{ witnesses: 6, threshold: 3, perPdu: 3, perRoom: 3, ownZone: 3 },
  roundTripMarginMs: 1000,
}
const OFFER_MS = 60_000
const PROVISION_MS = 120_000

/** All hosts are on, released and healthy afterwards. */
export async function provisionFleet(lab: Lab, settings: ProvisionSettings): Promise<LabFleet> {
  const { say = () => undefined } = settings
  const people = labPeople()
  const witnessed = join(lab.settings.folder, 'witnessed')
  say('each host makes its keys in its TPM and offers them')
  const offers = await Promise.all(lab.ids.map((id) => offerOf(lab, id)))
  const signed = signLabPlan(people, await planOf(lab, people, offers, settings), undefined)
  const planPath = join(lab.settings.folder, 'plan-1.json')
  await writeAtomically(planPath, encodeSignedPlan(signed))
  say(`${OPERATORS_NEEDED} of ${people.operators.length} operators sign the plan, the approver approves the boot`)
  const [olderImage, image] = await imagesOf(lab, people, settings, witnessed)
  const fleet: LabFleet = {
    people,
    signed,
    planPath,
    image,
    olderImage,
    witnessed,
    passwordOf: (host) => `password of ${host}`,
  }
  say('every host splits its secret among its witnesses')
  await Promise.all(lab.ids.map((id) => lab.startAgent(id, agentWords(fleet))))
  await Promise.all(lab.ids.map((id) => provisionHost(lab, fleet, id)))
  return fleet
}

/** Words of every agent of this fleet. */
export function agentWords({ planPath, image }: Pick<LabFleet, 'planPath' | 'image'>): readonly string[] {
  return ['--plan', planPath, ...(image === undefined ? [] : ['--image', image.path])]
}

async function offerOf(lab: Lab, id: HostId): Promise<Uint8Array> {
  const { folder, state, tpm } = lab.host(id)
  await lab.powerTpm(id)
  const offer = join(folder, 'offer.json')
  const [program, ...first] = lab.settings.command
  const made = ['--state', state, '--fleet', FLEET, '--host', id, '--offer', offer]
  const words = [...first, 'recovery', 'provision', ...made, '--tpm', tpm, '--registers', LAB_PCRS.join(',')]
  await promisify(execFile)(program, words, { timeout: OFFER_MS, env: { PATH: process.env['PATH'], HOME: folder } })
  return await readFile(offer)
}

async function planOf(
  lab: Lab,
  { operators, approver, imageSigner }: LabPeople,
  offers: readonly Uint8Array[],
  { policy, image }: ProvisionSettings,
): Promise<Plan> {
  const checked = await Promise.all(offers.map((offer, i) => checkOffer(offer, lab.ids[i])))
  const hosts = lab.hosts.map(({ id, domain }, i): RosterHost => ({
    ...{ id, domain, address: lab.network.addressOf(id), ak: checked[i].ak, state: 'active' },
    approvals: Number(checked[i].offer.approvals),
    hardware: 'laboratory',
  }))
  const keys = operators.map(({ name, point, escrow }) => ({ name, publicKey: point, escrow: escrow.point }))
  return {
    fleet: FLEET,
    mode: 'quorum',
    roster: { version: 1, hosts },
    policy: { ...LAB_POLICY, ...policy },
    longestOutageMs: 8 * 3_600_000,
    services: image === false ? [] : LAB_SERVICES,
    breakGlass: { needed: OPERATORS_NEEDED, keys },
    // Every host of a laboratory measures the same.
    boots: [{ name: LAB_BOOT.replace(' ', '-'), registers: registersOf(checked[0].offer), hosts: undefined }],
    cap: CAP_DEFAULT,
    approver: approver.point,
    imageSigners: [imageSigner.point],
  }
}

function registersOf({ registers }: Offer): PlanRegister[] {
  return registers.map(({ pcr, value }) => ({ pcr, value: hex(value) }))
}

/** Signed by as many as are needed, and approved. */
export function signLabPlan(people: LabPeople, plan: Plan, previous: SignedPlan | undefined): SignedPlan {
  const signers = people.operators.slice(0, OPERATORS_NEEDED)
  const signed = signers.reduce(signPlan, followingPlan(plan, previous))
  return signApprovals(signed, people.approver)
}

async function imagesOf(
  lab: Lab,
  { imageSigner }: LabPeople,
  { image }: ProvisionSettings,
  witnessed: string,
): Promise<readonly (LabImage | undefined)[]> {
  if (image === false) return []
  const { folder } = lab.settings
  const ballastBytes = image === true ? 0 : image.ballastBytes
  const build = (version: number, ballast: number): Promise<LabImage> =>
    buildLabImage({ folder, version, rosterVersion: 1, signer: imageSigner, witnessed, ballastBytes: ballast })
  return [await build(1, 0), await build(2, ballastBytes)]
}

async function provisionHost(lab: Lab, fleet: LabFleet, id: HostId): Promise<void> {
  const { folder, state } = lab.host(id)
  const { image, olderImage, passwordOf } = fleet
  const secrets = join(folder, 'secrets')
  await mkdir(secrets, { recursive: true, mode: 0o700 })
  const credentials = { host: id, password: passwordOf(id) }
  const files = Object.entries(credentials).map(([name, value]) => ({ name, path: join(secrets, name), value }))
  for (const { path, value } of files) await writeFile(path, value, { mode: 0o600 })
  await lab.until(`the agent of ${id} answers`, async () => {
    if (lab.exitOf(id) !== null) throw await ended(lab, id)
    return await answers(state)
  })
  await askAgent(
    state,
    {
      ask: 'provision',
      credentials: image === undefined ? [] : files.map(({ name, path }) => ({ name, path })),
      imageKeys: [olderImage, image]
        .flatMap((each) => each && { version: each.version, path: each.keyPath })
        .filter((each) => each !== undefined),
    },
    { signal: AbortSignal.timeout(PROVISION_MS) },
  )
}

async function ended(lab: Lab, id: HostId): Promise<RecoveryError> {
  const said = (await lab.logOf(id)).trim().split('\n').slice(-4).join('\n')
  return new RecoveryError('LABORATORY', { message: `the agent of ${id} ended with ${lab.exitOf(id)}: ${said}` })
}

async function answers(state: string): Promise<boolean> {
  try {
    await askAgent(state, { ask: 'status' }, { signal: AbortSignal.timeout(5000) })
    return true
  } catch {
    return false
  }
}
