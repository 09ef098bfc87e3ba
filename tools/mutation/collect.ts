/**
 * Stands in the place of `vitest` for test files whose tests are to be run again and again: they are put on a list.
 * Knows what those files use, and nothing else.
 */
import { format } from 'node:util'

export { expect } from '../../node_modules/vitest/dist/index.js'

export interface Collected {
  readonly name: string
  readonly run: () => unknown
}

export const collected: Collected[] = []
const around: string[] = []

type Body = (...args: unknown[]) => unknown
type Each = (cases: readonly unknown[]) => (name: string, body: Body, timeoutMs?: number) => void
type Register = ((name: string, body: Body, timeoutMs?: number) => void) & { readonly each: Each }

function registering(register: (name: string, run: () => unknown) => void): Register {
  const each: Each = (cases) => (name, body) => {
    for (const [i, item] of cases.entries()) {
      const args: unknown[] = Array.isArray(item) ? item : [item]
      register(/%[sdj]/.test(name) ? format(name, ...args) : `${name} #${i}`, () => body(...args))
    }
  }
  return Object.assign((name: string, body: Body) => register(name, body), { each })
}

export const test: Register = registering(
  (name, run) => void collected.push({ name: [...around, name].join(' > '), run }),
)

export const describe: Register = registering((name, run) => {
  around.push(name)
  run()
  around.pop()
})
