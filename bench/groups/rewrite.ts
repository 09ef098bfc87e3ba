/** How fast programs are made deterministic, and how much longer they become. */

import { runScript } from '../child.ts'
import { geomean, type Group } from '../harness.ts'
import { type ProgramName, programNames } from '../programs/catalog.ts'
import type { RewriteAnswer } from './rewrite.child.ts'

export const rewriteOnce = (name: ProgramName): Promise<RewriteAnswer> =>
  runScript<RewriteAnswer>(new URL('./rewrite.child.ts', import.meta.url), [name])

export const rewrite: Group = {
  name: 'rewrite',
  about: 'rewriting speed on CPython, and how much longer each program becomes',
  async measure(bench) {
    await bench.figure({
      name: 'python.mbPerS',
      unit: 'MB/s',
      summary: { key: 'rewrite.mbPerS', of: 'value' },
      async subject() {
        const { seconds, bytesBefore } = await rewriteOnce('python')
        return bytesBefore / 1e6 / seconds
      },
    })
    if (bench.quick) return bench.notMeasured('codeGrowth', 'quick runs leave it out')
    const growths: number[] = []
    for (const name of programNames) {
      bench.progress(`codeGrowth.${name}`)
      // The same every time.
      const { growth } = await rewriteOnce(name)
      growths.push(growth)
      bench.add({ name: `codeGrowth.${name}`, unit: 'ratio', samples: [growth] })
    }
    bench.summary['wasm.codeGrowth'] = geomean(growths)
    bench.summary['wasm.codeGrowth.max'] = Math.max(...growths)
  },
}
