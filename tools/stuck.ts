/**
 * A reporter that ends a test run in which a file stands still, and names it. A test whose process computes for ever, or
 * waits in a system call, never meets its own time limit: that is a timer of the same process.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, TestCase, TestModule } from 'vitest/node'

/** @param limitMs - For how long a file of tests may report nothing: more than a test or its set-up may take. */
export function stuckReporter(limitMs: number): Reporter {
  // By path: the module that is queued is another object than the one that runs.
  const lastSignMs = new Map<string, number>()
  const sign = ({ moduleId }: TestModule): void => void lastSignMs.set(moduleId, Date.now())
  const check = setInterval(() => {
    const stuck = [...lastSignMs].filter(([, atMs]) => Date.now() - atMs > limitMs).map(([path]) => path)
    if (stuck.length === 0) return
    const names = stuck.map((path) => relative(process.cwd(), path)).join(', ')
    process.stderr.write(`\nstuck: ${names}: nothing from there for ${limitMs / 1000} s; the run ends here\n`)
    for (const child of childrenOf(process.pid)) process.kill(child, 'SIGKILL')
    process.exit(1)
  }, limitMs / 10)
  check.unref()
  return {
    onTestModuleQueued: sign,
    onTestModuleStart: sign,
    onTestCaseReady: ({ module }: TestCase) => sign(module),
    onTestCaseResult: ({ module }: TestCase) => sign(module),
    onTestModuleEnd: ({ moduleId }) => void lastSignMs.delete(moduleId),
    onTestRunEnd: () => clearInterval(check),
  }
}

/** Linux alone tells; elsewhere the worker that stands still outlives the run. */
function childrenOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' '))
      .filter((child) => child !== '')
      .map(Number)
  } catch {
    return []
  }
}
