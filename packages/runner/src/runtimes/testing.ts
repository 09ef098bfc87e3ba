/** Recipes and homes for the tests of this folder. */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buildRuntime, type BuildRequest, type BuildResult } from './build.ts'

const folders: string[] = []

export async function folderForTest(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'reprise-runtimes-'))
  folders.push(folder)
  return folder
}

/** Belongs after all tests of a file that makes folders. */
export async function removeFolders(): Promise<void> {
  for (const folder of folders.splice(0)) await rm(folder, { force: true, recursive: true })
}

export const SOURCE = 'what is built from\n'

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

export const SOURCE_FILE = { name: 'tiny_1.0.orig.tar.gz', sha256: sha256(SOURCE), bytes: SOURCE.length }

/** A recipe whose module is the smallest one, and whose library says what it was built with. */
export const TINY_SCRIPT = `set -eu
echo 'step: looking'
cat "$SOURCES/tiny_1.0.orig.tar.gz" >"$WORK/source"
echo 'step: making'
mkdir -p "$OUT/lib/deep" "$OUT/licences"
printf '\\0asm\\1\\0\\0\\0' >"$OUT/runtime.wasm"
cp "$WORK/source" "$OUT/lib/source"
echo "with $WITH" >"$OUT/lib/deep/components"
echo 'do as you like' >"$OUT/licences/tiny"
mkdir -p "$OUT/sdk"
echo 'for others' >"$OUT/sdk/header"
`

const TINY = {
  schema: 'reprise/runtime-recipe/v1',
  name: 'tiny',
  version: '1.0',
  title: 'Tiny 1.0',
  summary: 'does nothing',
  sources: [{ package: 'tiny', version: '1.0-1', files: [SOURCE_FILE] }],
  tools: [],
  components: [
    { name: 'some', summary: 'something more' },
    { name: 'another', summary: 'and another thing' },
  ],
  workBytes: 0,
  run: { arguments: ['tiny'], environment: {}, libraryAt: '/tiny', takes: 'arguments', missing: [] },
}

/** @param changes - Of the fields of recipe.json. */
export async function putRecipe(
  recipes: string,
  changes: Readonly<Record<string, unknown>> = {},
  script: string = TINY_SCRIPT,
): Promise<string> {
  const recipe = { ...TINY, ...changes }
  const folder = join(recipes, recipe.name)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'recipe.json'), JSON.stringify(recipe))
  await writeFile(join(folder, 'build.sh'), script)
  return folder
}

/** Recipes, sources and a home, each in a folder of its own. */
export interface Room {
  readonly recipes: string
  readonly sources: string
  readonly home: string
}

export async function roomForTest(): Promise<Room> {
  const folder = await folderForTest()
  const room = { recipes: join(folder, 'recipes'), sources: join(folder, 'sources'), home: join(folder, 'home') }
  for (const path of Object.values(room)) await mkdir(path)
  await writeFile(join(room.sources, SOURCE_FILE.name), SOURCE)
  return room
}

export async function buildIn(room: Room, changes: Partial<BuildRequest> = {}): Promise<BuildResult> {
  return await buildRuntime({
    ...room,
    name: 'tiny',
    components: undefined,
    jobs: 1,
    again: false,
    installTools: async (packages) => {
      throw new Error(`would install ${packages.join(' ')}`)
    },
    signal: new AbortController().signal,
    onStep: () => {},
    ...changes,
  })
}

export async function put(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
}
