/** Paths in the tree of an image: a link in it leads to where it would lead once the tree is the root. */

import type { Stats } from 'node:fs'
import { lstat, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { RecoveryError } from '../../error.ts'

const LINKS_MAX = 40

/** @returns Where a path of the image lies on this machine; undefined when nothing is there, or its links go round. */
export async function resolveInside(root: string, path: string): Promise<string | undefined> {
  const rest = path.split('/')
  const done: string[] = []
  for (let links = 0; rest.length > 0;) {
    const part = rest.shift()
    if (part === undefined || part === '' || part === '.') continue
    if (part === '..') {
      done.pop()
      continue
    }
    const at = join(root, ...done, part)
    const about = await lstat(at).catch(() => undefined)
    if (about === undefined) return undefined
    if (!about.isSymbolicLink()) {
      done.push(part)
      continue
    }
    if (++links > LINKS_MAX) return undefined
    const target = await readlink(at)
    if (target.startsWith('/')) done.length = 0
    rest.unshift(...target.split('/'))
  }
  return join(root, ...done)
}

/**
 * Parts of a path that an archive has.
 *
 * @throws {@link RecoveryError} `IMAGE` when it is absolute or leads out of the tree.
 */
export function partsInside(path: string, where: string): readonly string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (!path.startsWith('/') && !parts.includes('..') && !path.includes('\0')) return parts
  throw new RecoveryError('IMAGE', {
    message: `${where} has an entry ${JSON.stringify(path)}, which leads out of the image.`,
    hint: 'Nothing of it was used. Ask whoever made it.',
  })
}

/**
 * What a tree has at a path: where, and what; undefined when there is nothing.
 *
 * @throws {@link RecoveryError} `IMAGE` when a link stands on the way: an archive that reaches through links is none of ours.
 */
export async function lookInside(
  root: string,
  parts: readonly string[],
  where: string,
): Promise<{ readonly at: string; readonly about: Stats } | undefined> {
  let at = root
  let about: Stats | undefined
  for (const [i, part] of parts.entries()) {
    at = join(at, part)
    about = await lstat(at).catch(() => undefined)
    if (about === undefined) return undefined
    if (i === parts.length - 1 || !about.isSymbolicLink()) continue
    throw new RecoveryError('IMAGE', {
      message: `${where} has an entry ${JSON.stringify(parts.join('/'))}, and ${parts.slice(0, i + 1).join('/')} is a link in the layers below.`,
      hint: 'Build the image so that its layers name files by their own folders.',
    })
  }
  return about && { at, about }
}

/** Removes what a tree has at a path; as {@link lookInside}. */
export async function removeInside(
  root: string,
  parts: readonly string[],
  { where, keepFolder }: { readonly where: string; readonly keepFolder: boolean },
): Promise<void> {
  const found = await lookInside(root, parts, where)
  if (found !== undefined && !(keepFolder && found.about.isDirectory())) await rm(found.at, { recursive: true })
}
