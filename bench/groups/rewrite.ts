/** How fast programs are made deterministic, and how much longer they become. */

import { languageFile } from '../../tools/compile-c.ts'
import { runScript } from '../child.ts'
import type { Group } from '../harness.ts'
import type { RewriteAnswer } from './rewrite.child.ts'

const PYTHON = 'python-3.11.3.wasm'

export const rewrite: Group = {
  name: 'rewrite',
  about: 'rewriting speed and code growth, on CPython',
  async measure(bench) {
    const growth: number[] = []
    await bench.figure({
      name: 'python.mbPerS',
      unit: 'MB/s',
      summary: { key: 'rewrite.mbPerS', of: 'value' },
      async subject() {
        const script = new URL('./rewrite.child.ts', import.meta.url)
        const { seconds, bytesBefore, codeGrowth } = await runScript<RewriteAnswer>(script, [languageFile(PYTHON)])
        growth.push(codeGrowth)
        return bytesBefore / 1e6 / seconds
      },
    })
    bench.add({
      name: 'python.codeGrowth',
      unit: 'ratio',
      samples: growth.slice(1),
      summary: { key: 'wasm.codeGrowth', of: 'value' },
    })
  },
}
