import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { AS_BUILT } from './inlining.ts'

test('what is put back when a guest has ended is what V8 was built with', () => {
  const options = execFileSync(process.execPath, ['--v8-options'], { encoding: 'utf8' })
  expect(options).toContain(`default: --wasm-inlining-factor=${AS_BUILT.factor}\n`)
  expect(options).toContain(`default: --wasm-inlining-budget=${AS_BUILT.budget}\n`)
})
