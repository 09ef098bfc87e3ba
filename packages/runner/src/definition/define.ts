/**
 * From a command line or a computation.yaml to a sealed computation, with everything that it names in the store.
 *
 * No host path, time, locale, file time or order of a folder enters: the same command on the same files gives the same
 * computation anywhere. Format and defaults: spec/computation.md.
 */
import { basename, relative, resolve } from 'node:path'
import { stat } from 'node:fs/promises'
import {
  decodeComputation,
  EvidenceError,
  type BlobRef,
  type Computation,
  type ComputationMount,
  type InputFile,
} from '@reprise/core'
import { STACK_LIMIT_SLOTS_DEFAULT } from '@reprise/wasm'
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { settingsOfFlags, type Flags } from './flags.ts'
import { isTaken, placeFolder, placeInputs, type PlacedFile, type Placement } from './inputs.ts'
import { shellWord } from './paths.ts'
import { chooseRuntime, runtimeWords, wordsFor, type ChosenRuntime, type NamedFile } from './chosen.ts'
import { placePackages, type Packages } from './packages.ts'
import { detectProgram, stemOf } from './program.ts'
import {
  DEFAULT_CLOCK,
  DEFAULT_GRID_FUEL,
  DEFAULT_MEMORY_PAGES,
  gridPolicy,
  type Draws,
  type Settings,
} from './settings.ts'
import { startProgram, type Start, type Started } from './start.ts'
import { readStdin } from './stdin.ts'
import { warmStartOf, type WarmContext } from './warm.ts'

export interface DefinitionContext extends Draws, WarmContext {
  /** `$REPRISE_HOME`; never an input. */
  readonly home: string
  /** The current folder, absolute. */
  readonly folder: string
  /** The standard input of the process, read only for `--stdin -`. */
  readonly stdin: AsyncIterable<Uint8Array>
  /** Names of the runtimes that can be built; asked when a program is not there. */
  readonly recipes: () => Promise<readonly string[]>
}

export interface DefinitionRequest {
  /** PROGRAM and ARGS. */
  readonly command: readonly string[]
  readonly flags?: Flags
  /** Where the record will be written; never an input. */
  readonly recordPath?: string
}

export interface Definition {
  readonly computation: Computation
  readonly program: {
    /** For people: `python analysis.py`. */
    readonly label: string
    /** What a record is called after: `analysis`. */
    readonly stem: string
  }
  /** Where outputs are written back to. */
  readonly workingFolder: {
    readonly path: string
    /**
     * The SHA-256 that went in, by path, of the files that a changed output may replace. Empty when inputs were named: those are
     * read-only, so every output is a new file beside them.
     */
    readonly files: ReadonlyMap<string, string>
  }
  /** What it is run with; undefined for a module of the user's. */
  readonly runtime: Pick<ChosenRuntime, 'name' | 'title' | 'id'> | undefined
  /** SHA-256 of all that came from the user; what an earlier run has written among them makes this run follow it. */
  readonly inputs: readonly string[]
  /** One-line notes for the user. */
  readonly advice: readonly string[]
}

/**
 * Defines what `reprise run PROGRAM ARGS…` runs; a `.yaml` as PROGRAM goes to {@link defineYaml}.
 *
 * @throws RunnerError of kind `usage` or `input` naming what, where and what to do; `DISK_FULL`, `WRITE`, `RUNTIME_MISSING`.
 */
export async function defineCommand(request: DefinitionRequest, context: DefinitionContext): Promise<Definition> {
  const [word, ...args] = wordsFor(request.flags?.runtime, request.command)
  if (word === undefined) {
    throw new RunnerError('USAGE', {
      message: 'no program given',
      hint: 'reprise run PROGRAM [ARGS…], for example: reprise run python analysis.py',
    })
  }
  const program = await programOf(word, args, { ...context, wanted: request.flags?.runtime })
  if (program.kind !== 'yaml') {
    const settings = await settingsOfFlags(request.flags ?? {}, context.folder, context)
    return define(
      {
        after: request.command,
        args,
        before: typed(request.flags),
        folder: context.folder,
        packages: packagePaths(request, context),
        program,
        recordPath: request.recordPath,
        settings,
      },
      context,
    )
  }
  if (args.length > 0) {
    throw new RunnerError('USAGE', {
      message: `${word} says its own arguments; ${args.map(shellWord).join(' ')} would be another computation`,
      hint: `write them into ${word} under arguments:`,
    })
  }
  return defineYaml(word, request, context)
}

/**
 * Defines what a computation.yaml says. Its folder plays the part of the current folder. Flags win over its fields: `--env` name by
 * name, `--input` and `--compare` as whole lists.
 *
 * @throws RunnerError as {@link defineCommand}; `DEFINITION` lists every mistake in the file by line and column.
 */
export async function defineYaml(
  path: string,
  request: Omit<DefinitionRequest, 'command'>,
  context: DefinitionContext,
): Promise<Definition> {
  // What reads YAML is as large as all else that a run needs.
  const { readYaml } = await import('./yaml.ts')
  const yaml = await readYaml(resolve(context.folder, path), path, context)
  const flags = await settingsOfFlags(request.flags ?? {}, context.folder, context)
  const place = { ...context, folder: yaml.folder, wanted: request.flags?.runtime }
  const program = await programOf(yaml.program, yaml.arguments, place)
  if (program.kind === 'yaml')
    throw new RunnerError('DEFINITION', {
      message: `${path}: its program is a yaml file`,
      hint: 'name a module or a runtime',
    })
  const settings = { ...yaml.settings, ...flags, environment: { ...yaml.settings.environment, ...flags.environment } }
  const definition = await define(
    {
      after: [path],
      args: yaml.arguments,
      before: typed(request.flags),
      folder: yaml.folder,
      packages: packagePaths(request, context),
      program,
      recordPath: request.recordPath,
      settings,
    },
    context,
  )
  return { ...definition, program: { ...definition.program, stem: stemOf(path) } }
}

function packagePaths({ flags }: Pick<DefinitionRequest, 'flags'>, { folder }: DefinitionContext): readonly string[] {
  return (flags?.package ?? []).map((path) => resolve(folder, path))
}

interface ProgramPlace extends Pick<DefinitionContext, 'home' | 'folder' | 'recipes'> {
  /** As `--runtime`. */
  readonly wanted: string | undefined
}

async function programOf(
  word: string,
  args: readonly string[],
  { home, folder, recipes, wanted }: ProgramPlace,
): Promise<Start['program'] | { readonly kind: 'yaml'; readonly path: string }> {
  if (word === wanted) return { kind: 'runtime', runtime: await chooseRuntime(home, word, wanted) }
  const program = await detectProgram(word, args, { folder, recipes, runtimes: await runtimeWords(home) })
  if (program.kind === 'runtime') return { kind: 'runtime', runtime: await chooseRuntime(home, program.name, wanted) }
  if (wanted === undefined || program.kind === 'yaml') return program
  throw new RunnerError('USAGE', {
    message: `--runtime ${wanted} is for a language runtime, and ${word} is a program of its own`,
    hint: 'leave --runtime out',
  })
}

/** `reprise run` and the flags but `--input`, to show a command that can be typed. */
function typed(flags: Flags = {}): string[] {
  const { env, seed, time, stdin, checkpoint, memory, floats, compare, cold, hostRules, runtime } = flags
  const more = { 'host-rules': hostRules, package: flags.package, runtime }
  const valued = { checkpoint, compare, env, floats, memory, seed, stdin, time, ...more }
  const words = Object.entries(valued).flatMap(([flag, value]) =>
    [value ?? []].flat().flatMap((text) => [`--${flag}`, shellWord(text)]),
  )
  return ['reprise', 'run', ...(cold === true ? ['--cold'] : []), ...words]
}

interface Plan extends Start {
  readonly settings: Settings
  readonly recordPath: string | undefined
  /** Of `--package`, absolute. */
  readonly packages: readonly string[]
  /** What can be typed before and after an `--input` flag. */
  readonly before: readonly string[]
  readonly after: readonly string[]
}

async function define(plan: Plan, context: DefinitionContext): Promise<Definition> {
  const { settings, folder } = plan
  const never = [context.home, ...(plan.recordPath === undefined ? [] : [resolve(context.folder, plan.recordPath)])]
  const placement = settings.inputs
    ? await placeInputs(settings.inputs, folder, never)
    : await placeFolder(folder, never, plan)
  const started = await startProgram(plan, placement)
  const stdin = await readStdin(settings.stdin, context.stdin)
  const program = await storeNamed(context.store, started.module)
  const [stdinRef] = await context.store.putAll([stdin])
  const packages = await packagesOf(plan, placement, context)
  const mounts: ComputationMount[] = []
  for (const mount of mountsOf(placement, started)) mounts.push(await storeMount(context.store, mount))
  if (packages !== undefined) mounts.push(packages.mount)

  const usual = { LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', ...started.environment }
  const cold: Computation = {
    arguments: started.argv,
    checkpoints: settings.checkpoints ?? gridPolicy(DEFAULT_GRID_FUEL),
    clock: settings.clock ?? DEFAULT_CLOCK,
    environment: { ...usual, ...packages?.environment, ...settings.environment },
    floats: settings.floats ?? 'canonical',
    limits: { memoryPages: settings.memoryPages ?? DEFAULT_MEMORY_PAGES, stackSlots: STACK_LIMIT_SLOTS_DEFAULT },
    mounts,
    program,
    schema: 'reprise/computation/v1',
    seed: settings.seed ?? '0',
    semantics: 'wasm/1',
    stdin: stdinRef,
    success: settings.success ?? [{ checkpoints: 'exact' }],
    ...(settings.host !== undefined && { host: settings.host }),
  }
  refuseUndecodable(cold)
  const runtime = plan.program.kind === 'runtime' ? plan.program.runtime : undefined
  const start =
    settings.start === 'cold' || runtime === undefined ? undefined : await warmStartOf(cold, runtime, usual, context)
  const computation = start === undefined ? cold : { ...cold, start }
  const own = plan.program.kind === 'module' ? [program] : []
  return {
    advice: [
      ...placement.advice,
      ...started.advice,
      ...(await unseenArguments(plan, placement, started.script?.hostPath)),
    ],
    computation,
    inputs: [...new Set([...own, stdinRef, ...mounts.flatMap(filesOf)].map(({ sha256 }) => sha256))],
    program: { label: started.label, stem: started.stem },
    runtime: runtime && { name: runtime.name, title: runtime.title, id: runtime.id },
    workingFolder: {
      files: new Map(settings.inputs ? [] : filesOf(mounts[0]).map(({ path, sha256 }) => [path, sha256])),
      path: folder,
    },
  }
}

async function packagesOf(
  { packages, program, settings }: Plan,
  placement: Placement,
  { store }: DefinitionContext,
): Promise<Packages | undefined> {
  if (packages.length === 0) return undefined
  if (program.kind === 'runtime' && program.runtime.argv[0] === 'python')
    return await placePackages(packages, { store, placement, environment: settings.environment })
  throw new RunnerError('USAGE', {
    message: '--package adds Python packages, and what is run is no Python',
    hint: 'reprise run --package FILE.whl python SCRIPT',
  })
}

/** Limits that no single input knows of, such as the number of mounts, are those of the decoder that every reader uses. */
function refuseUndecodable(computation: Computation): void {
  try {
    decodeComputation(computation)
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error
    throw new RunnerError('USAGE', {
      message: `no record can carry this computation: ${error.message}`,
      hint: 'see the limits in spec/computation.md, section 4',
      cause: error,
    })
  }
}

function filesOf({ source }: ComputationMount): readonly InputFile[] {
  return source.kind === 'files' ? source.files : []
}

async function storeNamed(store: BlobStore, { path, blob }: NamedFile): Promise<BlobRef> {
  if (blob !== undefined && (await store.has(blob.sha256))) return blob
  return await store.putFile(path)
}

async function storeMount(
  store: BlobStore,
  { at, output, writable, files, archive }: Mount,
): Promise<ComputationMount> {
  if (archive !== undefined) {
    return {
      at,
      output,
      source: { blob: await storeNamed(store, archive), format: 'tar.gz', kind: 'archive' },
      writable,
    }
  }
  const refs = await store.putAll(files.map(({ hostPath }) => hostPath))
  const inputs = files.map(({ path, readOnly }, index) => ({ ...refs[index], path, readOnly }))
  return { at, output, source: { files: inputs, kind: 'files' }, writable }
}

interface Mount {
  readonly at: string
  readonly output: boolean
  readonly writable: boolean
  readonly files: readonly PlacedFile[]
  readonly archive?: NamedFile
}

function mountsOf(placement: Placement, { library, script }: Started): Mount[] {
  const fixed = { output: false, writable: false }
  return [
    { at: '/', files: placement.files, output: true, writable: true },
    // Scratch space that is no output; a working folder with a tmp of its own has that one instead.
    ...(isTaken('/tmp', placement) ? [] : [{ at: '/tmp', files: [], output: false, writable: true }]),
    ...(library ? [{ archive: library.archive, at: library.at, files: [], ...fixed }] : []),
    ...(script
      ? [
          {
            at: script.at,
            files: [{ hostPath: script.hostPath, path: basename(script.hostPath), readOnly: true }],
            ...fixed,
          },
        ]
      : []),
  ]
}

/** Notes about arguments that name files which the program will not find. */
async function unseenArguments(
  { args, folder, settings }: Plan,
  placement: Placement,
  script: string | undefined,
): Promise<string[]> {
  const notes: string[] = []
  for (const arg of args) {
    const path = resolve(folder, arg)
    if (arg.startsWith('-') || arg === '/' || path === script) continue
    const guest = `/${relative(folder, path)}`
    if (path === folder || isTaken(guest, placement)) continue
    const found = await stat(path).catch(() => undefined)
    if (!found?.isFile() && !(found?.isDirectory() && arg.includes('/'))) continue
    const also = settings.inputs === undefined ? '--input . ' : ''
    notes.push(`${arg}: the program does not see it; add ${also}--input ${shellWord(arg)}`)
  }
  return notes
}
