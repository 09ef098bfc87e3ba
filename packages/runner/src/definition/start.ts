/** How a program is started: which module, with which arguments and variables, and with what mounted besides the inputs. */
import { stat } from 'node:fs/promises'
import { basename, relative, resolve } from 'node:path'
import { readFailure, RunnerError } from '../error.ts'
import { freePlace, guestPathOf, type Placement } from './inputs.ts'
import { isBelow } from './paths.ts'
import { stemOf } from './program.ts'
import type { ChosenRuntime, NamedFile } from './chosen.ts'

export interface Started {
  readonly module: NamedFile
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly library?: { readonly archive: NamedFile; readonly at: string }
  /** A script from elsewhere. */
  readonly script?: { readonly at: string; readonly hostPath: string }
  readonly label: string
  readonly stem: string
  readonly advice: readonly string[]
}

/** What is wanted: a module or a runtime, with arguments as given. */
export interface Start {
  readonly program:
    | { readonly kind: 'module'; readonly path: string }
    | { readonly kind: 'runtime'; readonly runtime: ChosenRuntime }
  readonly args: readonly string[]
  /** Relative paths in the arguments are below it. */
  readonly folder: string
}

/** @throws RunnerError `INPUT_MISSING` or `INPUT_UNREADABLE` for the script, `RUNTIME_MISSING`. */
export async function startProgram(start: Start, placement: Placement): Promise<Started> {
  return start.program.kind === 'module'
    ? startModule(start.program.path, start.args)
    : startRuntime(start, start.program.runtime, placement)
}

function startModule(path: string, args: readonly string[]): Started {
  return {
    advice: [],
    argv: [basename(path), ...args],
    environment: {},
    label: basename(path),
    module: { path },
    stem: stemOf(path),
  }
}

async function startRuntime(
  { args: given, folder }: Start,
  runtime: ChosenRuntime,
  placement: Placement,
): Promise<Started> {
  const index = await scriptIndex(runtime, given, folder)
  const script = index === undefined ? undefined : await placeScript(resolve(folder, given[index]), folder, placement)
  const args = index === undefined || !script ? given : given.with(index, script.guest)
  const library = runtime.library && { ...runtime.library, at: freePlace(runtime.library.at, placement) }
  // The runtime's variables name its library by the place that it usually has.
  const moved = ([key, value]: readonly [string, string]): [string, string] =>
    runtime.library && library && isBelow(value, runtime.library.at)
      ? [key, library.at + value.slice(runtime.library.at.length)]
      : [key, value]
  const shown = script ? basename(script.guest) : given[0]
  return {
    advice: script?.advice ?? [],
    argv: [...runtime.argv, ...args],
    environment: Object.fromEntries(Object.entries(runtime.environment).map(moved)),
    label: [runtime.name, ...(shown === undefined ? [] : [shown])].join(' '),
    ...(library && { library }),
    module: runtime.module,
    ...(script?.mount && { script: script.mount }),
    stem: script ? stemOf(script.guest) : runtime.name,
  }
}

/** Flags after which there is no script, by what the program calls itself. */
const CODE_FLAGS: Readonly<Partial<Record<string, readonly string[]>>> = {
  python: ['-c', '-m'],
  qjs: ['-e', '--eval'],
  ruby: ['-e'],
}

/**
 * Which argument is the script: the first one, when it is no flag, and it must be there; else the first that is a file, because
 * what stands before may be the value of a flag.
 */
async function scriptIndex(
  { name, argv, takes }: ChosenRuntime,
  args: readonly string[],
  folder: string,
): Promise<number | undefined> {
  if (takes !== 'script' || args.length === 0) return undefined
  if (!args[0].startsWith('-')) {
    const path = resolve(folder, args[0])
    const found = await stat(path).catch((error: unknown) => {
      throw readFailure(error, path)
    })
    if (found.isFile()) return 0
    throw new RunnerError('INPUT_UNREADABLE', {
      hint: `name a file: reprise run ${name} SCRIPT`,
      message: `${path} is not a file`,
    })
  }
  const codeAt = args.findIndex((arg) => CODE_FLAGS[argv[0]]?.includes(arg))
  for (const [index, arg] of args.entries()) {
    if (codeAt >= 0 && index >= codeAt) return undefined
    if (!arg.startsWith('-') && (await isFile(resolve(folder, arg)))) return index
  }
  return undefined
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}

interface PlacedScript {
  /** As the guest is told. */
  readonly guest: string
  readonly mount?: { readonly at: string; readonly hostPath: string }
  readonly advice: readonly string[]
}

/** A script in the working folder is run there; one from elsewhere is added by itself. */
async function placeScript(hostPath: string, folder: string, placement: Placement): Promise<PlacedScript> {
  const here = await guestPathOf(hostPath, placement)
  if (here !== null) return { advice: [], guest: here }
  const at = freePlace('/program', placement)
  const isOutside = relative(folder, hostPath).startsWith('..')
  const note = `${hostPath} is added by itself; what lies beside it is not there for it`
  return { advice: isOutside ? [note] : [], guest: `${at}/${basename(hostPath)}`, mount: { at, hostPath } }
}
