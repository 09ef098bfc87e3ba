/**
 * What a witness bears: attested requests (connection, quotes of both sides, one `observe`) and messages on open channels.
 * It has one software TPM and a process of its own; who asks has keys in software, so that one TPM is measured.
 */

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Group } from '../harness.ts'
import { TemporaryHome } from '../home.ts'
import type { FromChild, Job, ToChild } from './channel.child.ts'

const WINDOW_MS = 3000
const CHILD = fileURLToPath(new URL('./channel.child.ts', import.meta.url))

interface Child {
  readonly process: ChildProcess
  readonly ready: Extract<FromChild, { kind: 'ready' }>
  readonly ask: (message: ToChild) => Promise<FromChild>
}

async function start(env: NodeJS.ProcessEnv, ...words: readonly string[]): Promise<Child> {
  const child = fork(CHILD, words, { env })
  const answer = async (): Promise<FromChild> => {
    const ended = new AbortController()
    const end = once(child, 'exit', { signal: ended.signal }).then(() => {
      throw new Error(`the process for ${words[0]} ended`)
    })
    end.catch(() => undefined)
    try {
      const [message] = (await Promise.race([once(child, 'message', { signal: ended.signal }), end])) as [FromChild]
      return message
    } finally {
      ended.abort()
    }
  }
  const ready = await answer()
  if (ready.kind !== 'ready') throw new Error(`the process for ${words[0]} says ${ready.kind}`)
  return {
    process: child,
    ready,
    ask(message) {
      const answered = answer()
      child.send(message)
      return answered
    },
  }
}

const done = (answer: FromChild): Extract<FromChild, { kind: 'done' }> => {
  if (answer.kind !== 'done') throw new Error(`${answer.kind} instead of a rate`)
  return answer
}
const cpuMs = (answer: FromChild): number => {
  if (answer.kind !== 'cpu') throw new Error(`${answer.kind} instead of a time`)
  return answer.cpuMs
}

export const channel: Group = {
  name: 'channel',
  about: 'attested requests a second of a witness, to TLS alone; messages on open channels',
  async measure(bench) {
    await using home = await TemporaryHome.create()
    // By its environment, whatever is left of them ends with the home.
    const witness = await start(home.environment, 'witness', join(home.path, 'tpm'))
    const asking = await start(home.environment, 'asking', 'web-1')
    const plan = [
      { host: 'witness', ak: witness.ready.ak },
      { host: 'web-1', ak: asking.ready.ak },
    ]
    for (const child of [witness, asking]) child.process.send({ kind: 'plan', plan } satisfies ToChild)
    /** CPU time of the witness for each, in milliseconds: on a busy machine it says more than rates do. */
    const costs: Readonly<Record<Job, number[]>> = {
      ...{ attested: [], slow: [], handshakes: [], messages: [], echoes: [] },
    }
    const sampleOf = (job: Job) => async (): Promise<number> => {
      const to = witness.ready.addresses[job]
      const before = cpuMs(await witness.ask({ kind: 'cpu' }))
      const { count, perS } = done(await asking.ask({ kind: 'run', job, to, windowMs: WINDOW_MS }))
      costs[job].push((cpuMs(await witness.ask({ kind: 'cpu' })) - before) / count)
      return perS
    }
    /** The first sample of each does not count. */
    const addCost = (name: string, subject: Job, baseline: Job): void => {
      const [samples, baselines] = [costs[subject].slice(1), costs[baseline].slice(1)]
      const summary = { key: `channel.${name}.ratio`, of: 'ratio' } as const
      bench.add({ name, unit: 'ms of CPU', samples, baselines, summary })
    }
    try {
      await bench.figure({
        ...{
          name: 'attestedPerS',
          unit: 'requests/s',
          subject: sampleOf('attested'),
          baseline: sampleOf('handshakes'),
        },
        summary: { key: 'channel.attestedPerS', of: 'value' },
      })
      addCost('attestedCpuMs', 'attested', 'handshakes')
      await bench.figure({
        ...{ name: 'slowTpmPerS', unit: 'requests/s', subject: sampleOf('slow') },
        summary: { key: 'channel.slowTpmPerS', of: 'value' },
      })
      await bench.figure({
        name: 'quotesPerS',
        unit: 'quotes/s',
        subject: async () => done(await witness.ask({ kind: 'quotes', windowMs: WINDOW_MS })).perS,
      })
      await bench.figure({
        ...{ name: 'messagesPerS', unit: 'messages/s', subject: sampleOf('messages'), baseline: sampleOf('echoes') },
        summary: { key: 'channel.messagesPerS', of: 'value' },
      })
      addCost('messageCpuMs', 'messages', 'echoes')
    } finally {
      for (const { process: child } of [asking, witness]) {
        if (child.exitCode !== null || !child.connected) continue
        const gone = once(child, 'exit')
        child.send({ kind: 'end' } satisfies ToChild)
        await gone
      }
    }
  },
}
