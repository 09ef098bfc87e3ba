/** Folders and definitions for the tests of this folder. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { InputFile } from '@reprise/core'
import { openBlobStore } from '../blobs/index.ts'
import { defineCommand, type Definition, type DefinitionContext, type Flags } from './index.ts'

/** The smallest module. */
export const MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)

const folders: string[] = []

export async function folderForTest(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'reprise-define-'))
  folders.push(folder)
  return folder
}

/** Belongs after all tests of a file that makes folders. */
export async function removeFolders(): Promise<void> {
  for (const folder of folders.splice(0)) await rm(folder, { force: true, recursive: true })
}

export async function put(folder: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
  return folder
}

export async function contextIn(folder: string, stdin = ''): Promise<DefinitionContext> {
  const home = await folderForTest()
  return {
    folder,
    home,
    now: () => 1_700_000_000_123_456_789n,
    random: (lengthBytes) => new Uint8Array(lengthBytes).fill(1),
    stdin: (async function* () {
      yield new TextEncoder().encode(stdin)
    })(),
    store: await openBlobStore(home),
    // What programs come to is not what these tests are about.
    warmRoot: async () => '5a'.repeat(32),
    recipes: async () => ['buildable'],
  }
}

export async function define(folder: string, command: readonly string[], flags: Flags = {}): Promise<Definition> {
  return defineCommand({ command, flags }, await contextIn(folder))
}

export function filesAt({ computation }: Definition, at: string): readonly InputFile[] {
  const source = computation.mounts.find((mount) => mount.at === at)?.source
  return source?.kind === 'files' ? source.files : []
}

export const pathsAt = (definition: Definition, at: string): string[] => filesAt(definition, at).map(({ path }) => path)
export const placesOf = ({ computation }: Definition): string[] => computation.mounts.map(({ at }) => at)
