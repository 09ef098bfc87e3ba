/**
 * Which files of a folder a computation takes.
 *
 * Hidden entries, node_modules and `*.reprise` are left out. Links to files are taken as the files they lead to. Links
 * to folders, sockets, pipes and devices are left out, and said so. The order is by path bytes: neither the file system's order nor the locale's shows.
 */
import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '@reprise/core'
import { readFailure, RunnerError, systemCode } from '../error.ts'
import { mapLimited } from '../parallel.ts'
import { guestPathProblem, sortedByPath } from './paths.ts'

export interface ScannedFile {
  /** Relative to the scanned folder. */
  readonly path: string
  readonly hostPath: string
  readonly sizeBytes: number
}

export interface Scan {
  readonly files: readonly ScannedFile[]
  /** One-line notes about what the program will miss. */
  readonly advice: readonly string[]
  /** The same about hidden entries, node_modules and records, which are left out of every folder. */
  readonly leftOut: readonly string[]
}

export interface ScanLimits {
  readonly files: number
  readonly bytes: number
}

/** How much there is by entry of the scanned folder; `more` when counting stopped. */
export interface EntrySize {
  readonly name: string
  readonly folder: boolean
  readonly files: number
  readonly bytes: number
  readonly more: boolean
}

/** The folder holds more than the limits; carries the sizes for a message that helps. */
export class TooMuch {
  readonly entries: readonly EntrySize[]

  constructor(entries: readonly EntrySize[]) {
    this.entries = entries
  }
}

interface Request {
  readonly folder: string
  readonly limits: ScanLimits
  /** Host paths that are never taken, such as the state of Reprise itself. */
  readonly never: readonly string[]
}

const DOT = 0x2e
const STATS_AT_ONCE = 16
/** Counting ends at so many times the limit: a home folder may hold millions. */
const COUNTED_TIMES_MAX = 20
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * @throws RunnerError `INPUT_UNREADABLE` naming the folder or file, `INPUT_NAME` for names that are not UTF-8 or too long.
 */
export async function scanFolder(request: Request): Promise<Scan | TooMuch> {
  const never = new Set(await Promise.all(request.never.map((path) => realpath(path).catch(() => path))))
  const root = await realpath(request.folder).catch((error: unknown) => {
    throw readFailure(error, request.folder)
  })
  const scanner = new Scanner(root, request, never)
  await scanner.walk()
  const entries = scanner.entries()
  const { files, bytes } = entries.reduce(
    (sum, entry) => ({ bytes: sum.bytes + entry.bytes, files: sum.files + entry.files }),
    { bytes: 0, files: 0 },
  )
  if (files > request.limits.files || bytes > request.limits.bytes) return new TooMuch(entries)
  return {
    advice: scanner.advice(),
    files: sortedByPath(scanner.files, ({ path }) => path),
    leftOut: scanner.leftOut(),
  }
}

/** Something in a folder, not looked into yet. */
interface Found {
  readonly path: string
  readonly entry: Dirent<Buffer>
}

type Sizes = { folder: boolean; files: number; bytes: number; more: boolean }

class Scanner {
  readonly files: ScannedFile[] = []
  /** By the first part of the paths. */
  readonly #sizes = new Map<string, Sizes>()
  readonly #folders: string[] = []
  readonly #links: string[] = []
  readonly #dangling: string[] = []
  readonly #special: string[] = []
  readonly #leftOut: string[] = []
  readonly #root: string
  readonly #request: Request
  readonly #never: ReadonlySet<string>

  constructor(root: string, request: Request, never: ReadonlySet<string>) {
    this.#root = root
    this.#request = request
    this.#never = never
  }

  /** Goes down level by level. What alone is beyond the limits is not counted to its end, nor is what is hopeless together. */
  async walk(): Promise<void> {
    const { files, bytes } = this.#request.limits
    let level = await this.#list('')
    for (const { path, entry } of level)
      this.#sizes.set(path, { bytes: 0, files: 0, folder: entry.isDirectory(), more: false })
    while (level.length > 0) {
      const below = await mapLimited(level, STATS_AT_ONCE, (found) => this.#take(found))
      const hopeless = this.files.length > COUNTED_TIMES_MAX * files
      level = below.flat().filter(({ path }) => {
        const sizes = this.#sizesOf(path)
        sizes.more ||= hopeless || sizes.files > files || sizes.bytes > bytes
        return !sizes.more
      })
    }
  }

  /** What a folder holds, as far as it may be taken. */
  async #list(path: string): Promise<Found[]> {
    const folder = join(this.#root, path)
    let entries: Dirent<Buffer>[]
    try {
      entries = await readdir(folder, { encoding: 'buffer', withFileTypes: true })
    } catch (error) {
      throw readFailure(error, folder)
    }
    const found: Found[] = []
    for (const entry of entries) {
      // Nobody has to rename what is not taken, so a hidden name may be anything.
      const name = entry.name[0] === DOT ? entry.name.toString() : nameOf(entry.name, folder)
      const below = path === '' ? name : `${path}/${name}`
      if (name.startsWith('.') || name === 'node_modules' || name.endsWith('.reprise')) this.#leftOut.push(below)
      else if (!this.#never.has(join(folder, name))) found.push({ entry, path: below })
    }
    return found
  }

  /** Takes a file; of a folder, answers what is in it. */
  async #take({ path, entry }: Found): Promise<Found[]> {
    const problem = guestPathProblem(path)
    if (problem)
      throw new RunnerError('INPUT_NAME', {
        message: `${join(this.#root, path)}: the path ${problem}`,
        hint: 'shorten or move it',
      })
    if (entry.isDirectory()) {
      this.#folders.push(path)
      return this.#list(path)
    }
    if (entry.isFile() || entry.isSymbolicLink()) await this.#takeFile(path, entry.isSymbolicLink())
    else this.#special.push(path)
    return []
  }

  async #takeFile(path: string, isLink: boolean): Promise<void> {
    const hostPath = join(this.#root, path)
    try {
      const found = await stat(hostPath)
      if (found.isFile()) {
        this.files.push({ hostPath, path, sizeBytes: found.size })
        const sizes = this.#sizesOf(path)
        sizes.files++
        sizes.bytes += found.size
      } else if (found.isDirectory()) this.#links.push(path)
      else this.#special.push(path)
    } catch (error) {
      if (!isLink || (systemCode(error) !== 'ENOENT' && systemCode(error) !== 'ELOOP'))
        throw readFailure(error, hostPath)
      this.#dangling.push(path)
    }
  }

  #sizesOf(path: string): Sizes {
    const end = path.indexOf('/')
    const sizes = this.#sizes.get(end < 0 ? path : path.slice(0, end))
    assert(sizes !== undefined, 'every path lies below an entry of the folder')
    return sizes
  }

  entries(): EntrySize[] {
    return [...this.#sizes].map(([name, sizes]) => ({ name, ...sizes }))
  }

  leftOut(): string[] {
    return note(
      this.#leftOut,
      'left out (hidden, node_modules or a record); name it to take it',
      'left out (hidden, node_modules or records); name them to take them',
    )
  }

  advice(): string[] {
    const filled = new Set<string>()
    for (const { path } of this.files) {
      for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) filled.add(path.slice(0, at))
    }
    const empty = new Set(this.#folders.filter((path) => !filled.has(path)))
    const emptyTop = [...empty].filter((path) => !empty.has(path.slice(0, Math.max(0, path.lastIndexOf('/')))))
    return [
      note(this.#links, 'a link to a folder is not followed', 'links to folders are not followed'),
      note(this.#dangling, 'a link that leads nowhere is left out', 'links that lead nowhere are left out'),
      note(this.#special, 'no regular file, left out', 'no regular files, left out'),
      note(
        emptyTop,
        'an empty folder is not taken; the program has to create it',
        'empty folders are not taken; the program has to create them',
      ),
    ].flat()
  }
}

function nameOf(bytes: Uint8Array, folder: string): string {
  try {
    return decoder.decode(bytes)
  } catch (error) {
    const shown = Array.from(bytes, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`,
    ).join('')
    throw new RunnerError('INPUT_NAME', {
      message: `${folder}: the name ${shown} is not UTF-8, so no computation can carry it`,
      hint: 'rename it, or name with --input only what the program reads',
      cause: error,
    })
  }
}

function note(paths: readonly string[], one: string, many: string): string[] {
  if (paths.length === 0) return []
  const sorted = sortedByPath(paths, (path) => path)
  const rest = sorted.length > 3 ? ` and ${sorted.length - 3} more` : ''
  return [`${sorted.slice(0, 3).join(', ')}${rest}: ${sorted.length === 1 ? one : many}`]
}
