/**
 * Bundles the command into dist/: it then starts in a tenth of the time that it needs from source.
 *
 *     dist/reprise.cjs            the entry: switches V8's compile cache on, then loads the build
 *     dist/build-<digest>/        one build: main.js, every *.worker.js and *.daemon.js, shared chunks
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
import { existsSync, globSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { rolldown } from 'rolldown'

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

/** Each thread switches the cache on for itself; it lives in the build's folder, so it goes when the build goes. */
const COMPILE_CACHE = "require('node:module').enableCompileCache(__dirname + '/compiled')"

/** Bundles the sources under `root` into `dist` and returns the folder of the build. */
export async function bundle(root: string, dist: string): Promise<string> {
  await using build = await rolldown({
    input: entryPoints(root),
    platform: 'node',
    cwd: root,
    logLevel: 'warn',
    // Nothing of ours does anything by being imported: who takes one name from a package's index loads what that needs.
    treeshake: { moduleSideEffects: (id) => id.includes('/node_modules/') },
    // What a thread shares with the command is in a chunk of its own: it must not run the command.
    preserveEntrySignatures: 'strict',
  })
  const { output } = await build.generate({
    format: 'cjs',
    entryFileNames: '[name].js',
    chunkFileNames: 'shared-[hash].js',
    banner: ({ name }) => (/\.(worker|daemon)$/.test(name) ? `${COMPILE_CACHE}\n` : ''),
    comments: { legal: true, annotation: false, jsdoc: false },
  })
  const files = output.map((file) => ({ name: file.fileName, body: file.type === 'chunk' ? file.code : file.source }))
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
  writeFileSync(entry, entryOf(name))
  renameSync(entry, join(dist, 'reprise.cjs'))
  removeOldBuilds(dist, name)
  return target
}

/** The compile cache lives in the build's folder, so it goes when the build goes. */
function entryOf(name: string): string {
  return `'use strict'
require('node:module').enableCompileCache(__dirname + '/${name}/compiled')
require('./${name}/main.js')
`
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
