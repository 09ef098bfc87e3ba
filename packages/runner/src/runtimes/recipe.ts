/** Recipes and their locks, as they lie in `runtimes/<name>/`. Format: spec/runtime.md §1. */
import { lstat, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonical, compareText, decodeBlobRef, EvidenceError, hex, shape, utf8, type BlobRef } from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'
import { digestFile } from '../durable.ts'
import { RunnerError, readFailure, systemCode } from '../error.ts'
import {
  debianName,
  decodeUse,
  runtimeName,
  sourcePackage,
  tool,
  type RuntimeUse,
  type SourcePackage,
  type Tool,
} from './manifest.ts'

const { digest, fields, integer, label, list, nullable } = shape

const JSON_BYTES_MAX = 1 << 20
const LABEL_BYTES_MAX = 256
const LIST_MAX = 64
const PATCHES_MAX = 256
const FILES_MAX = 1024
const LOCK = 'recipe.lock.json'
/** Beside the lock, what tells of a recipe and decides nothing: which of the upstream's tests fail. */
const TESTS = 'tests.json'

export interface Recipe {
  readonly folder: string
  /** Of all that decides what is built. */
  readonly digest: string
  readonly name: string
  readonly version: string
  readonly title: string
  readonly summary: string
  readonly base: string | null
  readonly sources: readonly SourcePackage[]
  /** Debian packages. */
  readonly tools: readonly string[]
  readonly patches: readonly { readonly file: string; readonly why: string }[]
  readonly components: readonly { readonly name: string; readonly summary: string }[]
  readonly workBytes: number
  /** Null: as its base. */
  readonly run: RuntimeUse | null
}

export interface RecipeLock {
  readonly recipe: string
  readonly module: BlobRef
  readonly library: BlobRef | null
  readonly licences: BlobRef
  readonly toolchain: readonly Tool[]
}

/** The names of all recipes, sorted; none when there is no such folder. */
export async function recipeNames(recipes: string): Promise<readonly string[]> {
  const found = await readdir(recipes, { withFileTypes: true }).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw readFailure(error, recipes)
  })
  return found
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .toSorted()
}

/** @throws RunnerError `RUNTIME_UNKNOWN`, `RECIPE`. */
export async function readRecipe(recipes: string, name: string): Promise<Recipe> {
  const names = await recipeNames(recipes)
  if (!names.includes(name)) {
    throw new RunnerError('RUNTIME_UNKNOWN', {
      message: `there is no recipe ${JSON.stringify(name)}`,
      hint: names.length === 0 ? `${recipes} has none` : `there are: ${names.join(', ')}`,
    })
  }
  const folder = join(recipes, name)
  const path = join(folder, 'recipe.json')
  const recipe = await readJson(path, decodeRecipe)
  const files = await recipeFiles(folder)
  if (recipe.name !== name) throw wrongRecipe(path, `it is called ${recipe.name} and lies in the folder ${name}`)
  const patches = recipe.patches.map(({ file }) => file)
  for (const file of ['build.sh', ...patches])
    if (!files.some((each) => each.path === file)) throw wrongRecipe(path, `there is no file ${file} beside it`)
  for (const { path: file } of files)
    if (file.endsWith('.patch') && !patches.includes(file))
      throw wrongRecipe(path, `${file} lies beside it, and is not among its patches, which say why`)
  return { ...recipe, folder, digest: hex(nodeCrypto.sha256(utf8(canonical(files)))) }
}

/** Undefined when the recipe has none yet. @throws RunnerError `RECIPE`. */
export async function readLock({ folder }: Pick<Recipe, 'folder'>): Promise<RecipeLock | undefined> {
  const path = join(folder, LOCK)
  return await readJson(path, decodeLock).catch((error: unknown) => {
    if (error instanceof RunnerError && error.code === 'INPUT_MISSING') return undefined
    throw error
  })
}

/** As it is kept beside the recipe, for people to read. */
export function encodeLock(lock: RecipeLock): string {
  return `${JSON.stringify({ schema: 'reprise/runtime-lock/v1', ...lock }, null, 2)}\n`
}

async function readJson<T>(path: string, decode: (value: unknown) => T): Promise<T> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw readFailure(error, path)
  })
  try {
    if (text.length > JSON_BYTES_MAX) throw shape.tooLarge('it', `has more than ${JSON_BYTES_MAX} characters`)
    return decode(JSON.parse(text))
  } catch (error) {
    if (error instanceof EvidenceError || error instanceof SyntaxError) throw wrongRecipe(path, error.message, error)
    throw error
  }
}

function wrongRecipe(path: string, what: string, cause?: unknown): RunnerError {
  return new RunnerError('RECIPE', {
    message: `${path}: ${what}`,
    hint: 'spec/runtime.md, section 1, says what a recipe is',
    ...(cause !== undefined && { cause }),
  })
}

const OPTIONAL = { base: null, patches: [], components: [], run: null }

function decodeRecipe(value: unknown): Omit<Recipe, 'folder' | 'digest'> {
  const what = 'recipe'
  const found = fields(shape.isObject(value) ? { ...OPTIONAL, ...value } : value, what, [
    ...(['schema', 'name', 'version', 'title', 'summary', 'base', 'sources', 'tools', 'patches'] as const),
    ...(['components', 'workBytes', 'run'] as const),
  ])
  shape.exactly(found.schema, `${what}.schema`, 'reprise/runtime-recipe/v1')
  const base = nullable(found.base, `${what}.base`, runtimeName)
  if (base === null && found.run === null) throw shape.wrong(`${what}.run`, 'is missing, and there is no base')
  return {
    name: runtimeName(found.name, `${what}.name`),
    version: label(found.version, `${what}.version`, LABEL_BYTES_MAX),
    title: label(found.title, `${what}.title`, LABEL_BYTES_MAX),
    summary: label(found.summary, `${what}.summary`, LABEL_BYTES_MAX),
    base,
    sources: list(found.sources, `${what}.sources`, LIST_MAX, sourcePackage),
    tools: list(found.tools, `${what}.tools`, LIST_MAX, debianName),
    patches: list(found.patches, `${what}.patches`, PATCHES_MAX, (each, at) => {
      const { file, why } = fields(each, at, ['file', 'why'])
      return {
        file: shape.relativePath(file, `${at}.file`, LABEL_BYTES_MAX),
        why: label(why, `${at}.why`, LABEL_BYTES_MAX),
      }
    }),
    components: list(found.components, `${what}.components`, LIST_MAX, (each, at) => {
      const { name, summary } = fields(each, at, ['name', 'summary'])
      return { name: runtimeName(name, `${at}.name`), summary: label(summary, `${at}.summary`, LABEL_BYTES_MAX) }
    }),
    workBytes: integer(found.workBytes, `${what}.workBytes`, { min: 0, max: 2 ** 40 }),
    run: nullable(found.run, `${what}.run`, (each, at) =>
      decodeUse(shape.isObject(each) ? { warm: null, ...each } : each, at),
    ),
  }
}

function decodeLock(value: unknown): RecipeLock {
  const what = 'lock'
  const found = fields(value, what, ['schema', 'recipe', 'module', 'library', 'licences', 'toolchain'])
  shape.exactly(found.schema, `${what}.schema`, 'reprise/runtime-lock/v1')
  return {
    recipe: digest(found.recipe, `${what}.recipe`),
    module: decodeBlobRef(found.module, `${what}.module`),
    library: nullable(found.library, `${what}.library`, decodeBlobRef),
    licences: decodeBlobRef(found.licences, `${what}.licences`),
    toolchain: list(found.toolchain, `${what}.toolchain`, LIST_MAX, tool),
  }
}

/** All that decides what is built, sorted by path. */
async function recipeFiles(folder: string): Promise<readonly { readonly path: string; readonly sha256: string }[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths: string[] = []
  for (const entry of found) {
    const path = join(entry.parentPath, entry.name).slice(folder.length + 1)
    if (entry.isDirectory() || path === LOCK || path === TESTS || path.endsWith('.md')) continue
    if (!entry.isFile() || path.split('/').some((name) => name.startsWith('.')))
      throw wrongRecipe(folder, `${path} is hidden, or no regular file`)
    paths.push(path)
  }
  if (paths.length > FILES_MAX) throw wrongRecipe(folder, `it has more than ${FILES_MAX} files`)
  paths.sort(compareText)
  return await Promise.all(paths.map(async (path) => ({ path, sha256: (await digestFile(join(folder, path))).sha256 })))
}

/** Whether a folder is there, for whoever looks at what a build left. */
export async function isFolder(path: string): Promise<boolean> {
  return await lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
