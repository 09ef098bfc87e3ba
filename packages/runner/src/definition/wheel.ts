/**
 * Reads a wheel: the files of a package that is pure Python, as an installer would place them. What is compiled is refused by
 * name: nothing of it could run.
 *
 * Source: PKWARE APPNOTE 6.3.10 §4.3; Python packaging, "Binary distribution format" (PEP 427), "File contents".
 */
import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { crc32, inflateRawSync } from 'node:zlib'
import { readFailure, RunnerError } from '../error.ts'
import { guestPathProblem } from './paths.ts'

const WHEEL_BYTES_MAX = 1 << 28
const CONTENT_BYTES_MAX = 1 << 29
const FILES_MAX = 20_000
const END_BYTES = 22
const COMMENT_BYTES_MAX = 0xffff
const END_SIGNATURE = 0x06054b50
const CENTRAL_SIGNATURE = 0x02014b50
const CENTRAL_BYTES = 46
const LOCAL_SIGNATURE = 0x04034b50
const LOCAL_BYTES = 30
const ENCRYPTED = 1

export interface PackageFile {
  readonly path: string
  /** The bytes, or where they are on the host. */
  readonly source: Uint8Array | string
}

/** What no package of the guest can be: it is for a processor. */
export function isCompiled(path: string): boolean {
  return /\.(?:so|pyd|dylib|dll)(?:\.[\d.]+)?$/i.test(path)
}

/** @throws RunnerError `PACKAGE` naming the file and what is wrong; `INPUT_MISSING`, `INPUT_UNREADABLE`. */
export async function readWheel(path: string): Promise<readonly PackageFile[]> {
  const { size } = await stat(path).catch((error: unknown) => {
    throw readFailure(error, path)
  })
  if (size > WHEEL_BYTES_MAX) throw wrongPackage(path, `has more than ${WHEEL_BYTES_MAX} bytes`)
  const bytes = new Uint8Array(
    await readFile(path).catch((error: unknown) => {
      throw readFailure(error, path)
    }),
  )
  const entries = entriesOf(path, bytes)
  const compiled = entries.find((entry) => isCompiled(entry.name))
  if (compiled !== undefined) throw hasCompiled(path, compiled.name)
  let contentBytes = 0
  const files: PackageFile[] = []
  for (const entry of entries) {
    const place = placeOf(entry.name)
    if (place === undefined) continue
    if (guestPathProblem(place) !== null) throw wrongPackage(path, `has a file ${JSON.stringify(entry.name)}`)
    contentBytes += entry.lengthBytes
    if (contentBytes > CONTENT_BYTES_MAX) throw wrongPackage(path, `unpacks to more than ${CONTENT_BYTES_MAX} bytes`)
    files.push({ path: place, source: contentOf(path, bytes, entry) })
  }
  return files
}

export function hasCompiled(path: string, name: string): RunnerError {
  return new RunnerError('PACKAGE', {
    message: `${path} has a compiled part, ${name}, which is for a processor and not for the machine`,
    hint: 'only pure Python packages can be added; a runtime that has it built in is another way: reprise runtime list',
    data: { path, name },
  })
}

export function wrongPackage(path: string, what: string): RunnerError {
  return new RunnerError('PACKAGE', {
    message: `${path} ${what}`,
    hint: 'name a wheel (.whl) of a pure Python package, or a folder with its modules',
  })
}

interface Entry {
  readonly name: string
  readonly method: number
  readonly crc: number
  readonly storedBytes: number
  readonly lengthBytes: number
  readonly offset: number
}

function entriesOf(path: string, bytes: Uint8Array): readonly Entry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const end = endRecord(path, view)
  const count = view.getUint16(end + 10, true)
  if (count > FILES_MAX) throw wrongPackage(path, `has more than ${FILES_MAX} files`)
  const entries: Entry[] = []
  let at = view.getUint32(end + 16, true)
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_BYTES > end || view.getUint32(at, true) !== CENTRAL_SIGNATURE)
      throw wrongPackage(path, 'is damaged')
    const nameBytes = view.getUint16(at + 28, true)
    if ((view.getUint16(at + 8, true) & ENCRYPTED) !== 0) throw wrongPackage(path, 'is encrypted')
    entries.push({
      name: new TextDecoder().decode(bytes.subarray(at + CENTRAL_BYTES, at + CENTRAL_BYTES + nameBytes)),
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      storedBytes: view.getUint32(at + 20, true),
      lengthBytes: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    })
    at += CENTRAL_BYTES + nameBytes + view.getUint16(at + 30, true) + view.getUint16(at + 32, true)
  }
  return entries.filter(({ name }) => !name.endsWith('/'))
}

function endRecord(path: string, view: DataView): number {
  const last = view.byteLength - END_BYTES
  for (let at = last; at >= Math.max(0, last - COMMENT_BYTES_MAX); at--)
    if (view.getUint32(at, true) === END_SIGNATURE) return at
  throw wrongPackage(path, 'is no wheel: it is not a ZIP archive')
}

/** Below the packages; undefined for what an installer puts elsewhere, such as scripts. */
function placeOf(name: string): string | undefined {
  const data = /^[^/]+\.data\/([^/]+)\/(.+)$/.exec(name)
  if (data === null) return name
  return data[1] === 'purelib' || data[1] === 'platlib' ? data[2] : undefined
}

function contentOf(path: string, bytes: Uint8Array, entry: Entry): Uint8Array {
  const { offset, name, method, storedBytes, lengthBytes, crc } = entry
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (offset + LOCAL_BYTES > bytes.length || view.getUint32(offset, true) !== LOCAL_SIGNATURE)
    throw wrongPackage(path, `is damaged at ${name}`)
  const start = offset + LOCAL_BYTES + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true)
  const stored = bytes.subarray(start, start + storedBytes)
  if (method !== 0 && method !== 8) throw wrongPackage(path, `has ${name} compressed in a way that is not known here`)
  let content: Uint8Array
  try {
    content = method === 0 ? stored : inflateRawSync(stored, { maxOutputLength: Math.max(1, lengthBytes) })
  } catch (cause) {
    throw wrongPackage(path, `is damaged at ${name} (${(cause as Error).message})`)
  }
  if (content.length !== lengthBytes || crc32(content) !== crc) throw wrongPackage(path, `is damaged at ${name}`)
  return content
}

/** What people call the file. */
export function isWheelName(path: string): boolean {
  return basename(path).toLowerCase().endsWith('.whl')
}
