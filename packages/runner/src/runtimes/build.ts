/**
 * From a recipe to an installed runtime: tools, sources, script, archives, manifest. Whatever is interrupted goes on from what it
 * left in the cache, and a runtime is installed whole or not at all. Rules: spec/runtime.md.
 */
import { access, copyFile, mkdir, open, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestFile } from '../durable.ts'
import { RunnerError, systemCode, writeFailure } from '../error.ts'
import { filesOfFolder, writeArchive } from './archive.ts'
import { compareWithLock, type LockComparison } from './compare-lock.ts'
import { buildFolder, buildFolders, type BuildFolder } from './folders.ts'
import { withLock } from './lock.ts'
import { MODULE_BYTES_MAX, type RuntimeManifest, type RuntimeUse, type Tool } from './manifest.ts'
import { isFolder, readLock, readRecipe, type Recipe } from './recipe.ts'
import { runScript } from './script.ts'
import { fetchSources } from './sources.ts'
import {
  installRuntime,
  LIBRARY_FILE,
  LICENCES_FILE,
  listRuntimes,
  MODULE_FILE,
  stagingFolder,
  type InstalledRuntime,
} from './store.ts'
import { provideTools, type InstallTools } from './tools.ts'

export interface BuildRequest {
  readonly name: string
  /** The folder of all recipes. */
  readonly recipes: string
  readonly home: string
  /** Undefined: all. */
  readonly components: readonly string[] | undefined
  readonly jobs: number
  /** A folder that may have the sources. */
  readonly sources: string | undefined
  /** Builds it although it is there, from the beginning. */
  readonly again: boolean
  readonly installTools: InstallTools
  readonly signal: AbortSignal
  readonly onStep: (step: string) => void
}

export interface BuildResult {
  readonly runtime: InstalledRuntime
  readonly recipe: Recipe
  readonly lock: LockComparison
  /** False: it was there. */
  readonly isNew: boolean
  readonly log: string
}

/** A base that a recipe builds on. */
interface Base {
  readonly out: string
  readonly runtime: InstalledRuntime
  readonly run: RuntimeUse
  readonly tools: readonly Tool[]
}

const BASES_MAX = 8

/**
 * @throws RunnerError `RUNTIME_UNKNOWN`, `RECIPE`, `USAGE` for a component that it does not have, `RUNTIME_TOOLS`, `RUNTIME_SOURCES`, `RUNTIME_BUILD`,
 *   `RUNTIME_BUSY`, `DISK_FULL`, `WRITE`.
 */
export async function buildRuntime(request: BuildRequest): Promise<BuildResult> {
  const recipe = await readRecipe(request.recipes, request.name)
  return await build(request, recipe, componentsOf(recipe, request.components), BASES_MAX)
}

function componentsOf({ name, components }: Recipe, wanted: readonly string[] | undefined): readonly string[] {
  const known = components.map((component) => component.name)
  const unknown = wanted?.find((component) => !known.includes(component))
  if (unknown !== undefined) {
    throw new RunnerError('USAGE', {
      message: `${name} has no component ${JSON.stringify(unknown)}`,
      hint: known.length === 0 ? 'it has none: leave --with out' : `there are: ${known.join(', ')}`,
    })
  }
  return [...new Set(wanted ?? known)].toSorted()
}

async function build(
  request: BuildRequest,
  recipe: Recipe,
  components: readonly string[],
  basesMax: number,
): Promise<BuildResult> {
  const base = await buildBase(request, recipe, basesMax)
  const at = buildFolder(request.home, recipe, components, base?.runtime.manifest.module.sha256 ?? '')
  return await withLock(at.folder, async (lock) => {
    const present = request.again ? undefined : await builtBefore(request.home, { recipe, components, base, at })
    const toolchain = present?.manifest.toolchain ?? (await toolchainOf(request, recipe, base))
    const runtime = present ?? (await make(request, { recipe, components, base, at, lock, toolchain }))
    const comparison = compareWithLock(runtime.manifest, recipe, await readLock(recipe))
    return { runtime, recipe, lock: comparison, isNew: present === undefined, log: at.log }
  })
}

async function buildBase(request: BuildRequest, recipe: Recipe, basesMax: number): Promise<Base | undefined> {
  if (recipe.base === null) return undefined
  if (basesMax === 0) {
    throw new RunnerError('RECIPE', {
      message: `${recipe.name} builds on ${recipe.base}, and so on for more than ${BASES_MAX} recipes`,
      hint: 'a recipe must not build on itself',
    })
  }
  const below = await readRecipe(request.recipes, recipe.base)
  const named = { ...request, again: false, onStep: (step: string) => request.onStep(`${below.name}: ${step}`) }
  const built = await build(named, below, componentsOf(below, undefined), basesMax - 1)
  const { out } = buildFolder(
    request.home,
    below,
    built.runtime.manifest.components,
    await baseModuleOf(request, built),
  )
  return { out, runtime: built.runtime, run: built.runtime.manifest.run, tools: built.runtime.manifest.toolchain }
}

async function baseModuleOf({ home }: BuildRequest, { runtime }: BuildResult): Promise<string> {
  const { base } = runtime.manifest
  if (base === null) return ''
  return (await listRuntimes(home)).runtimes.find(({ id }) => id === base)?.manifest.module.sha256 ?? ''
}

interface Built {
  readonly recipe: Recipe
  readonly components: readonly string[]
  readonly base: Base | undefined
  readonly at: BuildFolder
}

/** The runtime of an earlier build, when that has left OUT as well: others may build on it. */
async function builtBefore(
  home: string,
  { recipe, components, base, at }: Built,
): Promise<InstalledRuntime | undefined> {
  const isWhole = await access(at.done).then(
    () => true,
    () => false,
  )
  if (!isWhole) return undefined
  const { runtimes } = await listRuntimes(home)
  return runtimes.find(
    ({ manifest }) =>
      manifest.recipe === recipe.digest &&
      manifest.base === (base?.runtime.id ?? null) &&
      manifest.components.join() === components.join(),
  )
}

async function toolchainOf(request: BuildRequest, recipe: Recipe, base: Base | undefined): Promise<readonly Tool[]> {
  const below = (base?.tools ?? []).map((tool) => tool.package)
  return await provideTools([...recipe.tools, ...below], request.installTools)
}

interface Making extends Built {
  readonly lock: number
  readonly toolchain: readonly Tool[]
}

async function make(request: BuildRequest, making: Making): Promise<InstalledRuntime> {
  const { recipe, at, base, components } = making
  const { home, signal, onStep } = request
  await rm(at.done, { force: true })
  if (request.again) await rm(at.work, { recursive: true, force: true })
  for (const folder of [at.folder, recipe.folder]) needPlainPath(folder)
  await needSpace(at.folder, recipe)
  await fetchSources({
    recipe,
    cache: buildFolders(home).sources,
    given: request.sources,
    target: at.sources,
    signal,
    onStep,
  })
  await emptyFolders(at)
  const { jobs } = request
  await runScript({ recipe, at, base: base?.out ?? '', components, jobs, lock: making.lock, signal, onStep })
  onStep('packing')
  const runtime = await install(home, making)
  await writeFile(at.done, '')
  return runtime
}

/** What `configure`, `make` and our own scripts part or read in another way, however it is quoted for them. */
const NOT_PLAIN = /[\s"'`$\\*?[\]{}()<>|&;#]/

/** @throws RunnerError `RUNTIME_BUILD`. */
function needPlainPath(folder: string): void {
  const [found] = NOT_PLAIN.exec(folder) ?? []
  if (found === undefined) return
  throw new RunnerError('RUNTIME_BUILD', {
    message: `nothing can be built in or from ${JSON.stringify(folder)}: compilers and their scripts trip over the ${JSON.stringify(found)} in it`,
    hint: 'name another place for everything with REPRISE_HOME, or move the project; what was built elsewhere can be imported: reprise runtime import',
  })
}

/** @throws RunnerError `DISK_FULL`. */
async function needSpace(folder: string, { title, workBytes }: Recipe): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const freeBytes = bavail * bsize
  if (freeBytes >= workBytes) return
  throw new RunnerError('DISK_FULL', {
    message: `building ${title} takes ${Math.ceil(workBytes / 1e6)} MB, and ${folder} has ${Math.floor(freeBytes / 1e6)} MB left`,
    hint: 'free space there, or name another place for everything with REPRISE_HOME',
  })
}

async function emptyFolders({ work, out, empty, temporary }: BuildFolder): Promise<void> {
  try {
    for (const folder of [out, empty, temporary]) await rm(folder, { recursive: true, force: true })
    for (const folder of [work, out, empty, temporary]) await mkdir(folder, { recursive: true })
  } catch (error) {
    throw writeFailure(error, work, 'the build')
  }
}

async function install(home: string, { recipe, components, base, at, toolchain }: Making): Promise<InstalledRuntime> {
  const run = recipe.run ?? base?.run
  if (run === undefined) throw new Error('a recipe has neither run nor base')
  await checkModule(join(at.out, 'runtime.wasm'), recipe)
  const staging = await stagingFolder(home)
  try {
    await copyFile(join(at.out, 'runtime.wasm'), join(staging, MODULE_FILE))
    const hasLibrary = await isFolder(join(at.out, 'lib'))
    if (hasLibrary) await writeArchive(await filesOfFolder(join(at.out, 'lib')), join(staging, LIBRARY_FILE))
    await writeArchive(await licencesOf(at), join(staging, LICENCES_FILE))
    const { name, version, title, sources, digest } = recipe
    const manifest: RuntimeManifest = {
      ...{ schema: 'reprise/runtime/v1', name, version, title, recipe: digest, base: base?.runtime.id ?? null },
      ...{ components, sources, toolchain, run },
      module: await digestFile(join(staging, MODULE_FILE)),
      library: hasLibrary ? await digestFile(join(staging, LIBRARY_FILE)) : null,
      licences: await digestFile(join(staging, LICENCES_FILE)),
    }
    return await installRuntime(home, manifest, staging)
  } catch (error) {
    await rm(staging, { recursive: true, force: true })
    throw error instanceof RunnerError || systemCode(error) === undefined
      ? error
      : writeFailure(error, staging, 'the runtime')
  }
}

async function licencesOf({ out }: BuildFolder): ReturnType<typeof filesOfFolder> {
  const folder = join(out, 'licences')
  const files = (await isFolder(folder)) ? await filesOfFolder(folder) : []
  if (files.length > 0) return files
  throw new RunnerError('RUNTIME_BUILD', {
    message: `the build left no licences in ${folder}`,
    hint: 'build.sh has to put those of everything in module and library there',
  })
}

const MODULE_START = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

async function checkModule(path: string, { title }: Recipe): Promise<void> {
  const wrong = (what: string): RunnerError =>
    new RunnerError('RUNTIME_BUILD', { message: `the build of ${title} left ${what}: ${path}`, hint: 'see its log' })
  await using file = await open(path).catch(() => {
    throw wrong('no module')
  })
  const { size } = await file.stat()
  if (size > MODULE_BYTES_MAX) throw wrong(`a module of more than ${MODULE_BYTES_MAX} bytes`)
  const { buffer } = await file.read(new Uint8Array(8), 0, 8, 0)
  if (!MODULE_START.every((byte, i) => buffer[i] === byte)) throw wrong('something that is no WebAssembly module')
}
