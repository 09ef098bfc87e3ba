/** Host recovery: what is released to thieves and who stays stuck in simulation; how long a real fleet takes. */

import { tmpdir } from 'node:os'
import { evenFleet, fleetOf, simulateThefts } from '@reprise/recovery'
import { REPRISE, runJson } from '../child.ts'
import { type Group, seconds } from '../harness.ts'
import { measureFleet } from './recovery-fleet.ts'

const HOSTS = 10_240
const ATTEMPTS = 1_000_000
const ATTEMPTS_QUICK = 30_000
/** Through a relay an attempt is ten times the work. */
const RELAYED_PART = 10
const LIARS = 0.4

interface Simulated {
  readonly stuck: { readonly rate: number }
  readonly peakBytes: number
}

export const recovery: Group = {
  name: 'recovery',
  about: 'host recovery: false releases, stuck hosts and time in simulation; a host that comes back in a real fleet',
  async measure(bench) {
    const trials = bench.quick ? ATTEMPTS_QUICK : ATTEMPTS
    const fleet = fleetOf(evenFleet(HOSTS))
    const key = (name: string) => ({ key: `recovery.simulate.${name}`, of: 'value' }) as const
    const progress = (_: number, attempts: number): void => {
      bench.checkInterrupted()
      if (attempts % 100_000 === 0) bench.progress(`${attempts} attempts of thieves`)
    }
    const thefts = await simulateThefts(fleet, { trials, seed: 1, relay: false, liars: LIARS }, { progress })
    bench.add({
      name: 'simulate.falseReleases',
      unit: `of ${trials}`,
      samples: [thefts.all.count],
      summary: key('falseReleases'),
    })
    const few = { trials: trials / RELAYED_PART, seed: 1, relay: true, liars: LIARS }
    const { all } = await simulateThefts(fleet, few, { progress })
    bench.add({ name: 'simulate.relayed', unit: 'rate', samples: [all.count / all.trials], summary: key('relayed') })
    const stuck: number[] = []
    const walls: number[] = []
    const peaks: number[] = []
    for (let seed = 1; seed <= bench.pairs; seed++) {
      bench.checkInterrupted()
      bench.progress(`a zone gone for good, seed ${seed}`)
      const command = [REPRISE, 'recovery', 'simulate', 'zone-gone', '--seed', String(seed), '--json']
      const wallS = await seconds(async () => {
        const answer = await runJson<Simulated>(command, { cwd: tmpdir(), env: process.env })
        stuck.push(answer.stuck.rate)
        peaks.push(answer.peakBytes / 1e6)
      })
      walls.push(wallS)
    }
    bench.add({ name: 'simulate.stuck', unit: 'rate', samples: stuck, summary: key('stuck') })
    bench.add({ name: 'simulate.wallS', unit: 's', samples: walls, summary: key('wallS') })
    bench.add({ name: 'simulate.peakMb', unit: 'MB', samples: peaks, summary: key('peakMb') })
    await measureFleet(bench)
  },
}
