/**
 * Bundles the command into dist/: it then starts in a tenth of the time that it needs from source.
 *
 *     dist/reprise.cjs            the entry: loads the build
 *     dist/build-<digest>/        one build: main.js, every *.worker.js and *.daemon.js, what they load, and load.js
 *
 * Each entry point has files of its own, and what `reprise run` needs is one of them: it is loaded in a fifth of the time
 * that eighty shared files take. They are loaded by code.cjs, which keeps their compiled form.
 *
 * A build is written under a temporary name and renamed; dist/reprise.cjs comes last, also by rename.
 * So nobody sees half a bundle, and a process that is running keeps finding workers of its own build.
 * It is CommonJS: for ES modules Node enumerates all exports of its own modules, which loads webcrypto and more.
 *
 * A room that starts a worker or a daemon names it relative to the module, which is the same in both
 * worlds except for the ending (all files of a build lie in one folder):
 *
 *     new URL(import.meta.url.endsWith('.ts') ? './page.worker.ts' : './page.worker.js', import.meta.url)
 */

import { createHash } from 'node:crypto'
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { rolldown, type RolldownOutput } from 'rolldown'

/** The entry points of a build by name: the command, workers and daemons. Two of one name are an error. */
export function entryPoints(root: string): Record<string, string> {
  const entries: Record<string, string> = { main: join(root, 'packages/cli/src/main.ts') }
  for (const file of globSync('packages/*/src/**/*.{worker,daemon}.ts', { cwd: root }).toSorted()) {
    const name = basename(file, '.ts')
    if (entries[name] !== undefined) throw new Error(`${file} and ${entries[name]} would both become ${name}.js`)
    entries[name] = join(root, file)
  }
  return entries
}

/** What a small run loads, the first file before the others: their modules become two files, however many commands share them. */
const FIRST = ['packages/cli/src/start.ts']
const SECOND = ['packages/cli/src/expected.ts', 'packages/cli/src/program.ts', 'packages/cli/src/commands/run.ts']

interface BundledFile {
  readonly name: string
  readonly body: string | Uint8Array
}

/** Bundles the sources under `root` into `dist` and returns the folder of the build. */
export async function bundle(root: string, dist: string): Promise<string> {
  const files = await filesOf(root)
  const hash = createHash('sha256')
  for (const { name, body } of files) hash.update(`${name}\0${body.length}\0`).update(body)
  const name = `build-${hash.digest('hex').slice(0, 16)}`

  const target = join(dist, name)
  if (!existsSync(target)) {
    // Not mkdtemp: a build that root makes is for every user.
    const unfinished = join(dist, `unfinished-${process.pid}`)
    mkdirSync(unfinished, { recursive: true })
    for (const file of files) writeFileSync(join(unfinished, file.name), file.body)
    writeFileSync(join(unfinished, 'package.json'), '{ "type": "commonjs" }\n')
    renameSync(unfinished, target)
  }
  const entry = join(dist, `unfinished-${process.pid}.cjs`)
  writeFileSync(entry, `'use strict'\nrequire('./${name}/main.js')\n`)
  renameSync(entry, join(dist, 'reprise.cjs'))
  removeOldBuilds(dist, name)
  return target
}

/** All files of a build, in an order that is the same every time. */
async function filesOf(root: string): Promise<readonly BundledFile[]> {
  const files: BundledFile[] = [{ name: 'load.js', body: readFileSync(new URL('./code.cjs', import.meta.url), 'utf8') }]
  for (const [name, entry] of Object.entries(entryPoints(root))) {
    files.push({ name: `${name}.js`, body: `require('./load.js')('${name}')\n` })
    const groups = name === 'main' ? [await modulesOf(root, FIRST), await modulesOf(root, SECOND)] : []
    const output = await built(root, { name, entry, groups })
    for (const file of output)
      files.push({ name: file.fileName, body: file.type === 'chunk' ? loadable(file.code) : file.source })
  }
  return files.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/**
 * As code.cjs takes it: the function that Node makes of a CommonJS module, in ASCII, of which V8 keeps a byte for each character
 * and makes no second copy.
 */
function loadable(code: string): string {
  const ascii = code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return `(function (exports, require, module, __filename, __dirname) {\n${ascii}\n})\n`
}

const OPTIONS = {
  platform: 'node',
  logLevel: 'warn',
  // A command that another one uses is loaded with that one.
  checks: { ineffectiveDynamicImport: false },
  // Nothing of ours does anything by being imported: who takes one name from a package's index loads what that needs.
  treeshake: { moduleSideEffects: (id: string) => id.includes('/node_modules/') },
  // What is loaded later has what it shares with the entry point from a file of its own: the entry point loads it as well,
  // where it has side effects, and has nothing to share before it has run.
  preserveEntrySignatures: 'strict',
} as const

/** One entry point and what it loads; nothing is shared with another, whose compiled form would be that of other calls. */
async function built(
  root: string,
  {
    name,
    entry,
    groups,
  }: {
    readonly name: string
    readonly entry: string
    /** Modules that become one file; those of the first group that has them. */
    readonly groups: readonly ReadonlySet<string>[]
  },
): Promise<RolldownOutput['output']> {
  await using build = await rolldown({ ...OPTIONS, cwd: root, input: { [name]: entry } })
  const { output } = await build.generate({
    format: 'cjs',
    entryFileNames: '[name].body.js',
    chunkFileNames: `${name}-[hash].js`,
    codeSplitting: {
      groups: groups.map((modules, i) => ({
        name: `group${i}`,
        test: (id) => modules.has(id),
        priority: groups.length - i,
      })),
    },
    comments: { legal: true, annotation: false, jsdoc: false },
  })
  return output
}

/** The modules that some files load when they are loaded themselves. */
async function modulesOf(root: string, files: readonly string[]): Promise<ReadonlySet<string>> {
  const input = files.map((file) => join(root, file)).filter((file) => existsSync(file))
  if (input.length === 0) return new Set()
  await using build = await rolldown({ ...OPTIONS, cwd: root, input })
  const { output } = await build.generate({ format: 'cjs' })
  const chunks = new Map(output.filter((each) => each.type === 'chunk').map((chunk) => [chunk.fileName, chunk]))
  const found = new Set<string>()
  const waiting = [...chunks.values()].filter(({ isEntry }) => isEntry)
  for (const chunk of waiting) {
    for (const id of chunk.moduleIds) found.add(id)
    for (const name of chunk.imports) {
      const next = chunks.get(name)
      if (next !== undefined && !waiting.includes(next)) waiting.push(next)
    }
  }
  return found
}

/** Removes what is a day old: until then a process of an older build may still want to start a worker. */
function removeOldBuilds(dist: string, current: string): void {
  const dayMs = 24 * 60 * 60 * 1000
  for (const name of readdirSync(dist)) {
    if (!/^(build|unfinished)-/.test(name) || name === current) continue
    const path = join(dist, name)
    if (Date.now() - statSync(path).mtimeMs > dayMs) rmSync(path, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const root = resolve(import.meta.dirname, '..')
  try {
    await bundle(root, join(root, 'dist'))
  } catch (error) {
    console.error(stripVTControlCharacters((error as Error).message))
    process.exitCode = 1
  }
}
