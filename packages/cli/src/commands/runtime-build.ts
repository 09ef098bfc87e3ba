/** `reprise runtime build`: a language runtime from its recipe. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { buildRuntime, RunnerError, type BuildResult } from '@reprise/runner'
import { createContext } from '../context.ts'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { bytes, duration, paint } from '../print/format.ts'
import { progressLine } from '../print/progress.ts'
import { lockLines, runtimeAnswer } from '../print/runtime.ts'
import { recipesFolder, repositoryRoot } from '../repository.ts'

interface BuildOptions {
  readonly with?: string
  readonly jobs?: number
  readonly sources?: string
  readonly again?: boolean
  readonly json?: boolean
}

export async function action(options: object, [name = '']: readonly string[]): Promise<number> {
  const { with: components, jobs, sources, again = false, json = false } = options as BuildOptions
  const { home, signal } = createContext()
  const startedMs = performance.now()
  const progress = buildProgress(startedMs)
  const result = await buildRuntime({
    ...{ name, recipes: recipesFolder(), home, signal, again },
    components: components?.split(',').filter((word) => word !== '' && word !== 'none'),
    jobs: jobs ?? availableParallelism(),
    sources: sources === undefined ? undefined : resolve(sources),
    installTools,
    onStep: progress.step,
  }).finally(progress.end)
  const elapsedMs = performance.now() - startedMs
  if (json) process.stdout.write(`${JSON.stringify(answer(result, elapsedMs))}\n`)
  else print(result, elapsedMs)
  return result.lock.kind === 'differs' ? EXIT_NO : EXIT_YES
}

function answer({ runtime, lock, isNew, log }: BuildResult, elapsedMs: number): object {
  return {
    schema: 'reprise/runtime-build-result/v1',
    ...runtimeAnswer(runtime, lock),
    isNew,
    elapsedMs: Math.round(elapsedMs),
    log,
  }
}

function print({ runtime, lock, isNew, log }: BuildResult, elapsedMs: number): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  const { manifest } = runtime
  line(`${isNew ? `built in ${duration(elapsedMs)}` : 'there already'}   ${manifest.title}   ${runtime.id}`)
  const library = manifest.library === null ? '' : `, library ${bytes(manifest.library.lengthBytes)}`
  line(`  module ${bytes(manifest.module.lengthBytes)}${library}`)
  for (const text of lockLines(lock)) line(`  ${text}`)
  line(`  log: ${log}`)
  line(`  next: reprise run --runtime ${manifest.name} …`)
}

/** A line on a terminal that shows how long the step takes; else one line for each step. */
function buildProgress(startedMs: number): { readonly step: (text: string) => void; readonly end: () => void } {
  const progress = progressLine()
  let current = ''
  const show = (): void => progress.show(`${duration(performance.now() - startedMs)}   ${current}`)
  const timer = setInterval(() => current !== '' && show(), 1000)
  return {
    step(text) {
      current = text
      if (process.stderr.isTTY) show()
      else process.stderr.write(`${paint('dim', 'step', process.stderr)}   ${text}\n`)
    },
    end() {
      clearInterval(timer)
      progress.clear()
    },
  }
}

/** The launcher's way of installing, which says what it installs, or which command to run. */
async function installTools(packages: readonly string[]): Promise<void> {
  const child = spawn('sh', [join(repositoryRoot(), 'tools', 'setup.sh'), 'runtime', ...packages], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code === 0) return
  throw new RunnerError('RUNTIME_TOOLS', {
    message: `what builds the runtime is missing and could not be installed: ${packages.join(' ')}`,
    hint: `as root: apt-get install --no-install-recommends ${packages.join(' ')}`,
  })
}
