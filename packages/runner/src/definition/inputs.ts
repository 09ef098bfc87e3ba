/** Where the files of a computation come from and where the guest finds them. */
import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { readFailure, RunnerError } from '../error.ts'
import { guestPathProblem, isBelow, shellWord, sortedByPath } from './paths.ts'
import { scanFolder, TooMuch, type EntrySize, type ScannedFile } from './scan.ts'
import type { InputSetting } from './settings.ts'

/** Of the current folder, which is taken without being named. */
export const FOLDER_FILES_MAX = 5000
export const FOLDER_BYTES_MAX = 2 ** 30
/** Of named inputs together: what a computation can list (spec/computation.md §4). */
export const INPUT_FILES_MAX = 60_000
export const INPUT_BYTES_MAX = 2 ** 40
const LINES_SHOWN_MAX = 8

/** A file where the guest finds it. */
export interface PlacedFile {
  /** Below the mount. */
  readonly path: string
  readonly hostPath: string
  readonly readOnly: boolean
}

export interface Placement {
  /** In the guest's working folder, in the order of their paths. */
  readonly files: readonly PlacedFile[]
  readonly advice: readonly string[]
}

/**
 * The whole folder as the working folder, its files the guest's own copies.
 *
 * @param commandLine - As typed, `reprise run` included: the refusal shows it with the `--input` flags to use.
 * @throws RunnerError `INPUT_TOO_MUCH`, `INPUT_UNREADABLE`, `INPUT_NAME`.
 */
export async function placeFolder(
  folder: string,
  never: readonly string[],
  commandLine: CommandLine,
): Promise<Placement> {
  const scan = await scanFolder({ folder, limits: { bytes: FOLDER_BYTES_MAX, files: FOLDER_FILES_MAX }, never })
  if (scan instanceof TooMuch) throw tooMuch(folder, scan.entries, commandLine)
  return { advice: scan.advice, files: scan.files.map(({ hostPath, path }) => ({ hostPath, path, readOnly: false })) }
}

/** What stands before and after the `--input` flags in a command that can be typed. */
export interface CommandLine {
  readonly before: readonly string[]
  readonly after: readonly string[]
}

function tooMuch(folder: string, entries: readonly EntrySize[], { before, after }: CommandLine): RunnerError {
  const total = (which: 'files' | 'bytes'): number => entries.reduce((sum, entry) => sum + entry[which], 0)
  const largest = [...entries].sort((a, b) => weight(b) - weight(a)).slice(0, 3)
  const kept = fitting(entries)
  const named =
    kept.length > 0 && kept.length <= LINES_SHOWN_MAX ? kept.map(({ name }) => shellWord(name)) : ['FILE_OR_FOLDER']
  const line = [...before, ...named.map((name) => `--input ${name}`), ...after.map(shellWord)].join(' ')
  return new RunnerError('INPUT_TOO_MUCH', {
    message:
      `${folder} holds ${filesText(total('files'))} and ${sizeText(total('bytes'))}${entries.some(({ more }) => more) ? ' or more' : ''}` +
      `; without --input at most ${filesText(FOLDER_FILES_MAX)} and ${sizeText(FOLDER_BYTES_MAX)} are taken` +
      ` (largest: ${largest.map((entry) => `${entry.name} ${sizeText(entry.bytes)} in ${filesText(entry.files)}`).join(', ')})`,
    hint: `name what the program reads: ${line}`,
    data: { entries },
  })
}

/** Share of the limits that an entry takes. */
function weight({ files, bytes, more }: EntrySize): number {
  return (more ? 1 : 0) + Math.max(files / FOLDER_FILES_MAX, bytes / FOLDER_BYTES_MAX)
}

/** All entries but the largest, so many that the rest is within the limits. */
function fitting(entries: readonly EntrySize[]): EntrySize[] {
  const bySize = [...entries].sort((a, b) => weight(a) - weight(b))
  let files = 0
  let bytes = 0
  const kept = bySize.filter((entry) => {
    files += entry.files
    bytes += entry.bytes
    return !entry.more && files <= FOLDER_FILES_MAX && bytes <= FOLDER_BYTES_MAX && entry.files > 0
  })
  return sortedByPath(kept, ({ name }) => name)
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']

function sizeText(bytes: number): string {
  let [amount, unit] = [bytes, 0]
  for (; amount >= 1023.5 && unit < UNITS.length - 1; unit++) amount /= 1024
  return `${unit > 0 && amount < 10 ? amount.toFixed(1) : Math.round(amount)} ${UNITS[unit]}`
}

function filesText(files: number): string {
  return `${files.toLocaleString('en')} ${files === 1 ? 'file' : 'files'}`
}

/**
 * Splits `PATH[:GUEST]`. When something with the whole name exists, that is meant; else GUEST is what follows the last colon.
 */
export async function parseInput(text: string, folder: string): Promise<InputSetting> {
  const whole = resolve(folder, text)
  const at = text.lastIndexOf(':')
  if (at <= 0 || (await exists(whole))) return { guest: null, path: whole }
  return { guest: text.slice(at + 1), path: resolve(folder, text.slice(0, at)) }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/**
 * Files and folders that are named, all of them in the working folder, read-only: what is named is input, and stays so.
 *
 * @param base - A path without a guest path that lies below it keeps its relative path; another keeps its last name.
 * @throws RunnerError `INPUT_MISSING`, `INPUT_UNREADABLE`, `INPUT_NAME`, `INPUT_CONFLICT`, `INPUT_TOO_MUCH`.
 */
export async function placeInputs(
  inputs: readonly InputSetting[],
  base: string,
  never: readonly string[],
): Promise<Placement> {
  const files = new Map<string, string>()
  const advice: string[] = []
  for (const input of inputs) {
    const { guest, isFolder } = await guestOf(input, base)
    for (const { path, hostPath } of isFolder
      ? await filesOf(input.path, never, advice)
      : [{ hostPath: input.path, path: '' }]) {
      const whole = [guest, path].filter((part) => part !== '').join('/')
      const other = files.get(whole)
      if (other !== undefined && other !== hostPath)
        throw conflict(`${other} and ${hostPath} would both be ${whole} for the program`)
      files.set(whole, hostPath)
    }
  }
  if (files.size > INPUT_FILES_MAX) throw tooManyInputs('the inputs')
  refuseFilesAsFolders([...files.keys()])
  const placed = [...files].map(([path, hostPath]) => ({ hostPath, path, readOnly: true }))
  return { advice, files: sortedByPath(placed, ({ path }) => path) }
}

async function guestOf(
  { path, guest }: InputSetting,
  base: string,
): Promise<{ readonly guest: string; readonly isFolder: boolean }> {
  const found = await stat(path).catch((error: unknown) => {
    throw readFailure(error, path)
  })
  const isFolder = found.isDirectory()
  if (!isFolder && !found.isFile()) {
    throw new RunnerError('INPUT_UNREADABLE', {
      message: `${path} is neither a file nor a folder`,
      hint: 'write what it yields to a file first, or use --stdin',
    })
  }
  if (guest === null) {
    const inside = relative(base, path)
    return { guest: inside === '' || guestPathProblem(inside) === null ? inside : basename(path), isFolder }
  }
  const trimmed = guest.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '')
  const isInto = trimmed === '' || trimmed === '.' || guest.endsWith('/')
  const place = trimmed === '.' ? '' : trimmed
  const whole = isFolder || !isInto ? place : [place, basename(path)].filter((part) => part !== '').join('/')
  const problem = whole === '' ? null : guestPathProblem(whole)
  if (problem)
    throw new RunnerError('INPUT_NAME', {
      message: `the place ${JSON.stringify(guest)} of ${path} ${problem}`,
      hint: 'write a path below the working folder, such as data/raw',
    })
  return { guest: whole, isFolder }
}

async function filesOf(folder: string, never: readonly string[], advice: string[]): Promise<readonly ScannedFile[]> {
  const scan = await scanFolder({ folder, limits: { bytes: INPUT_BYTES_MAX, files: INPUT_FILES_MAX }, never })
  if (scan instanceof TooMuch) throw tooManyInputs(folder)
  for (const note of [...scan.advice, ...scan.leftOut]) advice.push(`${folder}: ${note}`)
  if (scan.files.length === 0) advice.push(`${folder}: it holds no file to take, so the program does not have it`)
  return scan.files
}

function tooManyInputs(what: string): RunnerError {
  return new RunnerError('INPUT_TOO_MUCH', {
    message: `more than ${filesText(INPUT_FILES_MAX)} or ${sizeText(INPUT_BYTES_MAX)} in ${what}`,
    hint: 'pack them into one file, or name the ones that the program reads',
  })
}

/** No file's path is another one's folder (spec/computation.md §2). */
export function refuseFilesAsFolders(paths: readonly string[]): void {
  const all = new Set(paths)
  for (const path of paths) {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      if (all.has(path.slice(0, at)))
        throw conflict(`${path.slice(0, at)} would be both a file and a folder for the program`)
    }
  }
}

function conflict(what: string): RunnerError {
  return new RunnerError('INPUT_CONFLICT', {
    message: what,
    hint: 'give one of them another place: --input PATH:GUEST',
  })
}

/** Where the guest finds a host file that is among the placed ones, relative to its working folder; else null. */
export async function guestPathOf(hostPath: string, { files }: Placement): Promise<string | null> {
  const names = [hostPath, join(await realpath(dirname(hostPath)), basename(hostPath)), await realpath(hostPath)]
  for (const name of names) {
    const found = files.find((file) => file.hostPath === name)
    if (found) return found.path
  }
  return null
}

/** Whether the user has something at or below a place. */
export function isTaken(place: string, { files }: Placement): boolean {
  const name = place.slice(1)
  return files.some(({ path }) => path === name || isBelow(path, name))
}

/** The place itself, or with a number when the user has something there. */
export function freePlace(place: string, placement: Placement): string {
  for (let number = 1; ; number++) {
    const at = number === 1 ? place : `${place}-${number}`
    if (!isTaken(at, placement)) return at
  }
}
