/**
 * Which functions a guest calls first: V8 compiles a function when it is first called, and tells of it in its trace. Only the main
 * thread can ask for that. Watched twice for each module that begins warm; from then on what was called both times is compiled
 * beside one another before the guest runs (rewritten.ts), in less than half the time.
 */
import type { Session } from 'node:inspector'

/** A run that takes longer calls by then what not each one does. */
const WATCH_MS = 5000
/** The category of V8's trace, and the event in it. */
const CATEGORY = 'v8.wasm'
const EVENT = 'wasm.CompileLazy'

interface TraceEvent {
  readonly name: string
  readonly ts: number
  readonly args: { readonly func_index?: number }
}

/** A trace is of the whole process. */
let isWatching = false

export class FirstCalls {
  #begun: Promise<Watch | undefined> | undefined
  #hasEnded = false

  /** Before the guest runs; may be called again. */
  async watch(): Promise<void> {
    await (this.#begun ??= begin())
  }

  /** The guest has come to its end by itself. */
  ended(): void {
    this.#hasEnded = true
  }

  /** Ends the watch. @returns The functions by index, in the order of their first calls; undefined where they are not known. */
  async take(): Promise<readonly number[] | undefined> {
    const watch = await this.#begun
    this.#begun = undefined
    const functions = await watch?.end()
    return this.#hasEnded ? functions : undefined
  }
}

interface Watch {
  readonly end: () => Promise<readonly number[] | undefined>
}

/** Undefined where V8 cannot be asked, or somebody else is asking. */
async function begin(): Promise<Watch | undefined> {
  if (isWatching) return undefined
  isWatching = true
  try {
    const { Session } = process.getBuiltinModule('node:inspector')
    const session = new Session()
    session.connect()
    const events: TraceEvent[] = []
    session.on('NodeTracing.dataCollected', ({ params }) => {
      for (const event of params.value as TraceEvent[]) events.push(event)
    })
    await post(session, 'NodeTracing.start', { traceConfig: { includedCategories: [CATEGORY] } })
    let ended: Promise<readonly number[] | undefined> | undefined
    const end = (): Promise<readonly number[] | undefined> => (ended ??= stop(session, events))
    setTimeout(() => void end(), WATCH_MS).unref()
    return { end }
  } catch {
    isWatching = false
    return undefined
  }
}

async function stop(session: Session, events: readonly TraceEvent[]): Promise<readonly number[] | undefined> {
  try {
    const complete = new Promise((resolve) => session.once('NodeTracing.tracingComplete', resolve))
    await post(session, 'NodeTracing.stop')
    await complete
    return events
      .filter(({ name }) => name === EVENT)
      .toSorted((a, b) => a.ts - b.ts)
      .flatMap(({ args }) => args.func_index ?? [])
  } catch {
    return undefined
  } finally {
    session.disconnect()
    isWatching = false
  }
}

function post(session: Session, method: string, parameters: object = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    session.post(method, parameters, (error) => (error === null ? resolve() : reject(error)))
  })
}
