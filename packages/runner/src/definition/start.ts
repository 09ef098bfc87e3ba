/** How a program is started: which module, with which arguments and variables, and with what mounted besides the inputs. */
import { stat } from 'node:fs/promises'
import { basename, relative, resolve } from 'node:path'
import type { BlobRef } from '@reprise/core'
import { readFailure, RunnerError } from '../error.ts'
import { freePlace, guestPathOf, type Placement } from './inputs.ts'
import { isBelow } from './paths.ts'
import { stemOf, type Program } from './program.ts'
import { runtimeFile, runtimeNamed } from './runtime-files.ts'
import type { Runtime } from './runtimes.ts'

/** A file, and what must be in it when it is one of ours: 20 MB need not be hashed for every run then. */
export interface NamedFile {
  readonly path: string
  readonly blob?: BlobRef
}

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
  readonly program: Exclude<Program, { kind: 'yaml' }>
  readonly args: readonly string[]
  /** Relative paths in the arguments are below it. */
  readonly folder: string
}

/** @throws RunnerError `INPUT_MISSING` or `INPUT_UNREADABLE` for the script, `RUNTIME_MISSING`. */
export async function startProgram(start: Start, placement: Placement): Promise<Started> {
  return start.program.kind === 'module'
    ? startModule(start.program.path, start.args)
    : startRuntime(start, start.program.name, placement)
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

async function startRuntime({ args: given, folder }: Start, name: string, placement: Placement): Promise<Started> {
  const runtime = runtimeNamed(name) as Runtime
  const index = await scriptIndex(runtime, given, folder)
  const script = index === undefined ? undefined : await placeScript(resolve(folder, given[index]), folder, placement)
  const args = index === undefined || !script ? given : given.with(index, script.guest)
  const library = runtime.library && {
    archive: { path: runtimeFile(runtime.library.archive), blob: blobOf(runtime.library) },
    at: freePlace(runtime.library.at, placement),
  }
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
    label: [name, ...(shown === undefined ? [] : [shown])].join(' '),
    ...(library && { library }),
    module: { path: runtimeFile(runtime.module), blob: blobOf(runtime) },
    ...(script?.mount && { script: script.mount }),
    stem: script ? stemOf(script.guest) : name,
  }
}

function blobOf({ lengthBytes, sha256 }: BlobRef): BlobRef {
  return { lengthBytes, sha256 }
}

/** Flags after which there is no script. */
const CODE_FLAGS: Readonly<Partial<Record<Runtime['name'], readonly string[]>>> = {
  python: ['-c', '-m'],
  qjs: ['-e', '--eval'],
  ruby: ['-e'],
}

/**
 * Which argument is the script: the first one, when it is no flag, and it must be there; else the first that is a file, because
 * what stands before may be the value of a flag.
 */
async function scriptIndex(
  { name, takes }: Runtime,
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
  const codeAt = args.findIndex((arg) => CODE_FLAGS[name]?.includes(arg))
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
