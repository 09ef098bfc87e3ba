/** The flags of `reprise run` as typed, read into settings. */
import { resolve } from 'node:path'
import { RunnerError } from '../error.ts'
import { readHostRules } from './host-rules.ts'
import { parseInput } from './inputs.ts'
import {
  parseCheckpoints,
  parseCompare,
  parseEnvironment,
  parseFloats,
  parseMemory,
  parseSeed,
  parseTime,
  Wrong,
  type Draws,
  type Settings,
} from './settings.ts'

/** Each text as it stood after its flag. */
export interface Flags {
  /** `--input PATH[:GUEST]` */
  readonly input?: readonly string[]
  /** `--env NAME=VALUE` */
  readonly env?: readonly string[]
  /** `--seed N|random` */
  readonly seed?: string
  /** `--time ISO|now` */
  readonly time?: string
  /** `--stdin FILE|-` */
  readonly stdin?: string
  /** `--checkpoint every=FUEL|outputs|none` */
  readonly checkpoint?: string
  /** `--memory SIZE` */
  readonly memory?: string
  /** `--floats canonical|host` */
  readonly floats?: string
  /** `--compare OUTPUT=KIND[,abs=…,rel=…]` */
  readonly compare?: readonly string[]
  /** `--host-rules FILE` */
  readonly hostRules?: string
  /** `--runtime NAME|ID|stock` */
  readonly runtime?: string
  /** `--package FILE|FOLDER` */
  readonly package?: readonly string[]
  /** `--cold` */
  readonly cold?: boolean
}

/** @throws RunnerError `USAGE` naming the flag. */
export async function settingsOfFlags(flags: Flags, folder: string, draws: Draws): Promise<Settings> {
  const { input, env, seed, time, stdin, checkpoint, memory, floats, compare, cold, hostRules } = flags
  return {
    ...(env?.length && { environment: Object.fromEntries(env.map((text) => read('env', parseEnvironment(text)))) }),
    ...(input?.length && { inputs: await Promise.all(input.map((text) => parseInput(text, folder))) }),
    ...(seed !== undefined && { seed: read('seed', parseSeed(seed, draws)) }),
    ...(time !== undefined && { clock: read('time', parseTime(time, draws)) }),
    ...(stdin !== undefined && { stdin: stdin === '-' ? stdin : resolve(folder, stdin) }),
    ...(checkpoint !== undefined && { checkpoints: read('checkpoint', parseCheckpoints(checkpoint)) }),
    ...(memory !== undefined && { memoryPages: read('memory', parseMemory(memory)) }),
    ...(floats !== undefined && { floats: read('floats', parseFloats(floats)) }),
    ...(cold === true && { start: 'cold' }),
    ...(hostRules !== undefined && { host: await readHostRules(resolve(folder, hostRules), hostRules) }),
    ...(compare?.length && { success: compare.map((text) => read('compare', parseCompare(text))) }),
  }
}

function read<T>(flag: keyof Flags, result: T | Wrong): T {
  if (!(result instanceof Wrong)) return result
  throw new RunnerError('USAGE', { data: { flag }, hint: result.hint, message: `--${flag}: ${result.what}` })
}
