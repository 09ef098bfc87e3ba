/** From what an operator has to an image: a folder, an OCI image, or a kernel with its initrd. Rules: spec/loading.md §6 and §7. */

import { execFile } from 'node:child_process'
import { access, chmod, mkdir, mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { RecoveryError } from '../../error.ts'
import { buildImage } from '../../sealing/image/build.ts'
import type { ImageManifest } from '../../sealing/image/manifest.ts'
import { sealImage, type SealImageRequest } from '../../sealing/image/seal-image.ts'
import { requireMemory } from '../memory.ts'
import { parsePrograms, type Program, PROGRAMS_BYTES_MAX, PROGRAMS_PATH } from '../programs.ts'
import { writeBootPayload } from './boot-payload.ts'
import { isOciLayout, unpackLayout, unpackOci } from './oci.ts'
import { resolveInside } from './tree.ts'

export type ImageInput =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'oci'; readonly path: string; readonly isArchive: boolean; readonly ref?: string }
  | { readonly kind: 'boot'; readonly kernel: string; readonly initrd: string; readonly commandLine: string }

export interface ImageBuild {
  readonly input: ImageInput
  /** How services are started (§2), as the file's bytes; undefined when the folder has it already. Of a kernel's only the names count. */
  readonly services: Uint8Array | undefined
  /** A folder in memory. */
  readonly scratch: string
  readonly seal: Pick<SealImageRequest, 'target' | 'key' | 'sign'> & {
    readonly about: Omit<SealImageRequest['about'], 'services'>
  }
}

/**
 * Tells inputs apart: `KERNEL+INITRD`, a folder with an OCI layout, another folder, an archive with an OCI layout.
 *
 * @throws {@link RecoveryError} `IMAGE` when there is no such file.
 */
export async function imageInput(
  text: string,
  { commandLine, ref }: { readonly commandLine?: string; readonly ref?: string },
): Promise<ImageInput> {
  const about = await stat(text).catch(() => undefined)
  const plus = text.lastIndexOf('+')
  if (about === undefined && plus > 0) {
    return { kind: 'boot', kernel: text.slice(0, plus), initrd: text.slice(plus + 1), commandLine: commandLine ?? '' }
  }
  if (about === undefined) {
    throw new RecoveryError('IMAGE', {
      message: `There is no ${text}.`,
      hint: 'Name a folder, an OCI layout (folder or tar archive), or KERNEL+INITRD.',
    })
  }
  const isOci = !about.isDirectory() || (await isOciLayout(text))
  if (!isOci) return { kind: 'folder', path: text }
  return { kind: 'oci', path: text, isArchive: !about.isDirectory(), ...(ref !== undefined && { ref }) }
}

/**
 * Makes payload and image. The same input gives the same payload, wherever and whenever.
 *
 * @throws {@link RecoveryError} `IMAGE`, `IMAGE_TOOL`; `SERVICES` when the services are not in the tree; `LOADING` when scratch is on a disk.
 */
export async function buildFrom({ input, services, scratch, seal }: ImageBuild): Promise<ImageManifest> {
  await requireMemory(scratch)
  const making = await mkdtemp(join(scratch, 'reprise-build-'))
  try {
    if (input.kind === 'boot') {
      const payload = join(making, 'payload')
      await writeBootPayload(input, payload)
      // Whose credentials go along; how they are started is the next kernel's matter.
      const programs = services === undefined ? [] : parsePrograms(services, 'The file of --services').programs
      const about = { ...seal.about, services: programs.map(({ name }) => name) }
      return await sealImage({ ...seal, about, payload, kind: 'bytes' })
    }
    const folder = await treeOf(input, making, services !== undefined)
    if (services !== undefined) await addServices(folder, services)
    const programs = await checkServices(folder)
    const about = { ...seal.about, services: programs.map(({ name }) => name) }
    return await buildImage({ ...seal, about, folder, scratch: making })
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}

/** The folder itself when nothing is added to it, else a copy: what an operator keeps is not changed. */
async function treeOf(
  input: Exclude<ImageInput, { kind: 'boot' }>,
  making: string,
  isChanged: boolean,
): Promise<string> {
  const tree = join(making, 'tree')
  if (input.kind === 'folder') {
    if (!isChanged) return input.path
    await mkdir(tree)
    try {
      await promisify(execFile)('cp', ['-a', '--', `${input.path}/.`, tree])
    } catch (cause) {
      throw new RecoveryError('IMAGE', {
        message: `${input.path} cannot be copied: ${String((cause as { stderr?: string }).stderr).trim()}`,
        hint: 'Look whether it can be read, and whether there is memory enough.',
        cause,
      })
    }
    return tree
  }
  if (!input.isArchive) await unpackOci(input.path, tree, input.ref)
  else {
    const layout = join(making, 'layout')
    await mkdir(layout)
    await unpackLayout(input.path, layout)
    await unpackOci(layout, tree, input.ref)
    await rm(layout, { recursive: true })
  }
  return tree
}

async function addServices(tree: string, services: Uint8Array): Promise<void> {
  parsePrograms(services, 'The file of --services')
  const folder = dirname(PROGRAMS_PATH)
  const etc = (await resolveInside(tree, '/etc')) ?? join(tree, 'etc')
  const target = join(etc, folder.slice('/etc/'.length))
  await mkdir(target, { recursive: true })
  const file = join(target, PROGRAMS_PATH.slice(folder.length + 1))
  await rm(file, { recursive: true, force: true })
  await writeFile(file, services)
  // Not what this process would take away from it.
  await chmod(file, 0o644)
}

/** What starts them is there: this is not found out during an outage. */
async function checkServices(tree: string): Promise<readonly Program[]> {
  const file = await resolveInside(tree, PROGRAMS_PATH)
  if (file === undefined) {
    throw new RecoveryError('SERVICES', {
      message: `${tree} has no ${PROGRAMS_PATH}, which says how services are started.`,
      hint: 'Give it with --services FILE; spec/loading.md, section 2, has its form.',
    })
  }
  const { programs } = parsePrograms(await readSmall(file), PROGRAMS_PATH)
  for (const { name, command } of programs) {
    const program = await resolveInside(tree, command[0])
    const isThere =
      program !== undefined &&
      (await access(program, 1).then(
        () => true,
        () => false,
      ))
    if (isThere) continue
    throw new RecoveryError('SERVICES', {
      message: `Service ${name} is started by ${command[0]}, which is ${program === undefined ? 'not in the image' : 'no program that can be run'}.`,
      hint: 'Put it into the image, or correct the command.',
    })
  }
  return programs
}

async function readSmall(path: string): Promise<Uint8Array> {
  await using file = await open(path, 'r')
  const buffer = new Uint8Array(PROGRAMS_BYTES_MAX + 1)
  const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
  return buffer.subarray(0, bytesRead)
}
