/** What a person waits for before anything happens: the command itself, and the smallest signed runs. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { benchProgram } from '../../tools/compile-c.ts'
import { builtRuntime, install } from '../built-runtime.ts'
import { REPRISE, type Times, timeCommand } from '../child.ts'
import type { Bench, Group } from '../harness.ts'
import { TemporaryHome } from '../home.ts'

interface Start {
  readonly name: string
  readonly unit: string
  readonly command: readonly string[]
  readonly of: keyof Times
}

/** Runs, besides the one that makes what is kept, of which a machine learns which functions a module calls first. */
const LEARNT_OF = 2

/** A command that fails is not measured: what it wrote says why. */
async function measureStart(bench: Bench, home: TemporaryHome, { name, unit, command, of }: Start): Promise<void> {
  let count = 0
  const subject = async (): Promise<number> => {
    const record = command[0] === 'run' ? ['run', '-o', `${name}-${count++}.reprise`, ...command.slice(1)] : command
    const times = await timeCommand([REPRISE, ...record], { cwd: home.folder, env: home.environment })
    return times[of]
  }
  try {
    if (command[0] === 'run') for (let i = 0; i < LEARNT_OF; i++) await subject()
    await bench.figure({ name, unit, subject, summary: { key: `start.${name}`, of: 'value' } })
  } catch (error) {
    bench.notMeasured(name, (error as Error).message)
  }
}

/** A script that imports NumPy and does next to nothing. */
async function measureNumpy(bench: Bench, home: TemporaryHome): Promise<void> {
  const name = 'numpy.warm.wallS'
  const runtime = await builtRuntime('numpy')
  if (runtime === undefined) return bench.notMeasured(name, 'no runtime numpy: reprise runtime build numpy')
  await install(home, runtime)
  await writeFile(join(home.folder, 'ones.py'), 'import numpy\nprint(numpy.ones(3).sum())\n')
  const command = ['run', '--runtime', 'numpy', 'python', 'ones.py']
  await measureStart(bench, home, { name, unit: 's', command, of: 'wallS' })
}

export const start: Group = {
  name: 'start',
  about:
    'CPU time of --version; wall time of a signed hello world in WebAssembly, in Python started cold and warm, and in NumPy that was built',
  async measure(bench) {
    await using home = await TemporaryHome.create()
    await writeFile(join(home.folder, 'hello.wasm'), benchProgram('small-writes'))
    await writeFile(join(home.folder, 'hello.py'), 'print("hello")\n')
    const starts: readonly Start[] = [
      { name: 'version.cpuS', unit: 's', command: ['--version'], of: 'cpuS' },
      { name: 'wasm.wallS', unit: 's', command: ['run', 'hello.wasm', '1', '1'], of: 'wallS' },
      { name: 'python.wallS', unit: 's', command: ['run', '--cold', 'python', 'hello.py'], of: 'wallS' },
      { name: 'python.warm.wallS', unit: 's', command: ['run', 'python', 'hello.py'], of: 'wallS' },
    ]
    for (const each of starts) await measureStart(bench, home, each)
    await measureNumpy(bench, home)
  },
}
