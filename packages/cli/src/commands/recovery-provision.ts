/** `reprise recovery provision`: the keys of a host and its offer; with the signed plan, its first secret; or that of another host. */
import { resolve } from 'node:path'
import { writeFile } from 'node:fs/promises'
import { fromHex, isHex } from '@reprise/core'
import { RecoveryError } from '@reprise/recovery'
import { askAgent, askAt, bringPlan, type ControlLine, makeHostOffer, tpmPlace } from '@reprise/recovery/agent'
import { SIGNED_PLAN_BYTES_MAX } from '@reprise/recovery/operators'
import { writeFailure } from '@reprise/runner'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { safe } from '../print/format.ts'
import { readLimited } from '../read-limited.ts'
import { type AgentSettings, reachAgent } from '../recovery-agent.ts'

interface Options extends AgentSettings {
  readonly fleet?: string
  readonly host?: string
  readonly offer?: string
  readonly tpm?: string
  readonly registers: readonly number[]
  readonly plan?: string
  readonly pin?: string
  readonly credential?: readonly { readonly name: string; readonly path: string }[]
  readonly imageKey?: readonly { readonly version: number; readonly path: string }[]
  readonly wait: boolean
  readonly to?: string
  readonly permit?: string
  /** In milliseconds. */
  readonly roundTrip?: number
  readonly timeout: number
}

export async function action(options: object): Promise<number> {
  const given = options as Options
  if (given.to !== undefined) return await deliver(given, given.to)
  if ((given.offer === undefined) === (given.plan === undefined))
    throw new RecoveryError('USAGE', {
      message: 'Either an offer is made, or a plan is taken.',
      hint: 'first --offer FILE, and with what the operators signed: --plan FILE',
    })
  return given.plan === undefined ? await makeOffer(given) : await provision(given, given.plan)
}

async function makeOffer({ state, fleet, host, offer = '', tpm, registers, json }: Options): Promise<number> {
  if (fleet === undefined || host === undefined)
    throw new RecoveryError('USAGE', {
      message: 'An offer names fleet and host.',
      hint: 'name them as the plan will: --fleet NAME --host NAME',
    })
  const file = await makeHostOffer({ state, fleet, host, tpm: await tpmPlace(tpm), registers })
  await writeFile(offer, file).catch((error: unknown) => {
    throw writeFailure(error, offer, 'the offer')
  })
  if (json === true)
    process.stdout.write(`${JSON.stringify({ schema: 'reprise/recovery-provision-result/v1', fleet, host, offer })}\n`)
  else
    process.stdout.write(
      `${host}   offered to ${fleet}   ${safe(offer)}\n  next: bring it to whoever writes the plan\n`,
    )
  return EXIT_YES
}

async function provision(options: Options, plan: string): Promise<number> {
  const { state, pin, imageKey = [], credential = [], wait, json = false } = options
  if (pin !== undefined && (pin.length !== 64 || !isHex(pin)))
    throw new RecoveryError('USAGE', {
      message: '--pin is a digest of 64 hex digits.',
      hint: 'reprise recovery plan FILE',
    })
  const { signal } = createContext()
  const path = resolve(plan)
  await bringPlan(
    state,
    path,
    await readLimited(path, SIGNED_PLAN_BYTES_MAX),
    pin === undefined ? undefined : fromHex(pin),
  )
  const agent = await reachAgent(options, signal)
  const request = {
    ask: 'provision',
    credentials: credential.map(absolute),
    imageKeys: imageKey.map(absolute),
  } as const
  const waiting = new AbortController()
  const asked = askAt(agent, request, {
    signal: AbortSignal.any([signal, waiting.signal]),
    onLine: (line) => {
      say(line, json)
      if (!wait) waiting.abort(new Leaving())
    },
  })
  try {
    const { epoch } = await asked
    if (json) process.stdout.write(`${JSON.stringify({ kind: 'done', epoch })}\n`)
    else process.stdout.write(`provisioned   epoch ${String(epoch)}\n`)
  } catch (error) {
    if (!(error instanceof Leaving)) throw error
    if (!json) process.stdout.write('the agent goes on; see: reprise recovery host\n')
  }
  return EXIT_YES
}

async function deliver(options: Options, to: string): Promise<number> {
  const { state, permit, imageKey = [], credential = [], roundTrip, timeout: timeoutMs, json = false } = options
  if (permit === undefined || options.plan !== undefined || options.offer !== undefined)
    throw new RecoveryError('USAGE', {
      message: 'Another host is provisioned by what operators permit, with the plan that both hosts have.',
      hint: `--to ${to} --permit FILE, where FILE is of: reprise recovery permit ${to} --by THIS-HOST --plan FILE --key KEY -o FILE`,
    })
  const { signal } = createContext()
  const { epoch } = await askAgent(
    state,
    {
      ...{ ask: 'deliver', to, statement: resolve(permit), timeoutMs },
      ...{ credentials: credential.map(absolute), imageKeys: imageKey.map(absolute) },
      ...(roundTrip !== undefined && { roundTripMs: roundTrip }),
    },
    { signal, onLine: (line) => say(line, json) },
  )
  if (json) process.stdout.write(`${JSON.stringify({ kind: 'done', to, epoch })}\n`)
  else process.stdout.write(`${to}   provisioned   epoch ${String(epoch)}\n`)
  return EXIT_YES
}

/** The agent reads it, and stands elsewhere. */
function absolute<T extends { readonly path: string }>(file: T): T {
  return { ...file, path: resolve(file.path) }
}

/** The agent has begun, and nobody waits for it. */
class Leaving extends Error {}

function say(line: ControlLine, json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify(line)}\n`)
  else process.stderr.write(`${safe(String(line['text']))}\n`)
}
