/** Host recovery on a real fleet on this machine: one host comes back among others, with an image of 200 MB. */

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { agentWords, isHealthy, Lab, type LabFleet, provisionFleet, reportOf } from '@reprise/recovery/drill'
import { holderAbsent } from '@reprise/recovery/loading'
import type { Bench } from '../harness.ts'

const HOST = 'a1-1'
const IMAGE_BYTES = 200e6
const WITHIN_MS = 120_000
const BUILT = resolve(import.meta.dirname, '../../dist/reprise.cjs')

export async function measureFleet(bench: Bench): Promise<void> {
  const absent = process.getuid?.() === 0 ? holderAbsent() : 'services in namespaces want root'
  if (absent !== undefined) {
    bench.notMeasured('fleet.readyS', absent)
    return
  }
  // Sockets are in it, whose paths are short.
  const folder = await mkdtemp('/tmp/rb-')
  const shape = { racks: 4, hostsPerRack: 2 }
  const lab = await Lab.create({ folder, shape, command: [process.execPath, BUILT], agentWords: ['--heartbeat', '5s'] })
  try {
    bench.progress('a fleet of eight hosts is provisioned')
    const fleet = await provisionFleet(lab, { image: { ballastBytes: IMAGE_BYTES } })
    await lab.until('a first heartbeat', async () => isHealthy(await reportOf(lab, HOST)), WITHIN_MS)
    const samples: Sample[] = []
    for (let i = 0; i < bench.pairs; i++) {
      bench.checkInterrupted()
      bench.progress(`one host comes back, ${i + 1} of ${bench.pairs}`)
      samples.push(await comeBack(lab, fleet))
    }
    const add = (name: string, of: (sample: Sample) => number): void =>
      void bench.add({
        ...{ name: `fleet.${name}`, unit: 's', samples: samples.map(of) },
        summary: { key: `recovery.fleet.${name}`, of: 'value' },
      })
    add('gatherS', ({ gatherS }) => gatherS)
    add('readyS', ({ readyS, tpmS }) => readyS - tpmS)
    add('tpmS', ({ tpmS }) => tpmS)
  } finally {
    await lab[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  }
}

interface Sample {
  /** From the first look at its witnesses, all of whom answer, to its release. */
  readonly gatherS: number
  /** From the start of its agent to all its services. */
  readonly readyS: number
  /** What its own software TPM computed meanwhile. */
  readonly tpmS: number
}

async function comeBack(lab: Lab, fleet: LabFleet): Promise<Sample> {
  await lab.powerCut([HOST])
  await lab.powerTpm(HOST)
  const tpmBefore = await cpuS(lab.tpmPid(HOST))
  const startedMs = performance.now()
  await lab.startAgent(HOST, agentWords(fleet))
  const isUp = async (): Promise<boolean> => {
    const report = await reportOf(lab, HOST).catch(() => undefined)
    return (
      report?.isReleased === true &&
      report.services.length > 0 &&
      report.services.every(({ state }) => state === 'ready')
    )
  }
  await lab.until('all services', isUp, WITHIN_MS)
  const readyS = (performance.now() - startedMs) / 1000
  const tpmS = (await cpuS(lab.tpmPid(HOST))) - tpmBefore
  const sample = { readyS, tpmS, gatherS: await gatherS(join(lab.host(HOST).state, 'audit.jsonl')) }
  // The next one wants a lease that counts.
  const beforeMs = Date.now()
  await lab.until('a heartbeat', async () => isHealthy(await reportOf(lab, HOST), beforeMs), WITHIN_MS)
  return sample
}

/** CPU time of a process so far: proc(5), schedstat. */
async function cpuS(pid: number): Promise<number> {
  return Number((await readFile(`/proc/${pid}/schedstat`, 'utf8')).split(' ')[0]) / 1e9
}

/** Between the last boot and the release after it, as the audit log has them. */
async function gatherS(path: string): Promise<number> {
  const lines = (await readFile(path, 'utf8')).trim().split('\n')
  const entries = lines.map((line) => JSON.parse(line) as { wallMs: number; event: { kind: string } })
  const boot = entries.findLast(({ event }) => event.kind === 'boot')
  const release = entries.findLast(({ event }) => event.kind === 'release')
  if (boot === undefined || release === undefined || release.wallMs < boot.wallMs)
    throw new Error(`${path} has no release after its last boot`)
  return (release.wallMs - boot.wallMs) / 1000
}
