/** A runtime as one file: to another machine and back. Format: spec/runtime.md §2.4. */
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { EvidenceError, openZip, writeZip, type BlobRef, type ZipEntry, type ZipInput } from '@reprise/core'
import { readChunks, syncFolder, temporaryName, writeSynced } from '../durable.ts'
import { readFailure, RunnerError, writeFailure } from '../error.ts'
import { runnerFolders } from '../home.ts'
import { deflate } from '../record/index.ts'
import {
  decodeRuntimeManifest,
  encodeRuntimeManifest,
  RUNTIME_MANIFEST_BYTES_MAX,
  type RuntimeManifest,
} from './manifest.ts'
import {
  installRuntime,
  MANIFEST_FILE,
  runtimeParts,
  stagingFolder,
  verifyRuntime,
  type InstalledRuntime,
} from './store.ts'

/**
 * @returns Length of the file in bytes.
 * @throws RunnerError `RUNTIME_DAMAGED` for a runtime that is not what its manifest says; `WRITE`, `DISK_FULL`.
 */
export async function exportRuntime(runtime: InstalledRuntime, path: string): Promise<number> {
  const wrong = await verifyRuntime(runtime)
  if (wrong.length > 0) {
    throw new RunnerError('RUNTIME_DAMAGED', {
      message: `${runtime.folder} cannot be exported: ${wrong.join('; ')}`,
      hint: `build it once more: reprise runtime build ${runtime.manifest.name} --again; or import it from where it is whole`,
    })
  }
  const entries: ZipInput[] = [
    { name: MANIFEST_FILE, method: 'smaller', open: () => once(encodeRuntimeManifest(runtime.manifest)) },
    ...runtimeParts(runtime.manifest).map(([name]): ZipInput => ({
      name,
      method: 'smaller',
      open: () => readChunks(join(runtime.folder, name)),
    })),
  ]
  const temporary = temporaryName(dirname(path))
  try {
    await writeSynced(temporary, writeZip(entries, deflate, crc32))
    await rename(temporary, path)
    await syncFolder(dirname(path))
    return (await stat(path)).size
  } catch (error) {
    await rm(temporary, { force: true })
    throw writeFailure(error, path, 'the runtime')
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/**
 * Installs what a file holds, when all of it is as its manifest says.
 *
 * @throws RunnerError `RUNTIME_FILE` when it is not; `INPUT_MISSING`, `INPUT_UNREADABLE`; `WRITE`, `DISK_FULL`.
 */
export async function importRuntime(path: string, home: string): Promise<InstalledRuntime> {
  await using file = await open(path).catch((error: unknown) => {
    throw readFailure(error, path)
  })
  const { size } = await file.stat()
  const source = {
    lengthBytes: size,
    read: async (offset: number, lengthBytes: number) => {
      const { buffer, bytesRead } = await file.read(new Uint8Array(lengthBytes), 0, lengthBytes, offset)
      if (bytesRead !== lengthBytes) throw notWhole(`${path} became shorter while it was read`)
      return buffer
    },
  }
  try {
    const entries = await openZip(source)
    const manifest = await readManifest(entries)
    const parts = runtimeParts(manifest)
    checkEntries(entries, parts)
    await mkdir(runnerFolders(home).runtimes, { recursive: true, mode: 0o700 })
    const staging = await stagingFolder(home)
    try {
      for (const [i, [name, blob]] of parts.entries()) await unpack(entries[i + 1], blob, join(staging, name))
      return await installRuntime(home, manifest, staging)
    } catch (error) {
      await rm(staging, { recursive: true, force: true })
      throw error
    }
  } catch (error) {
    if (error instanceof EvidenceError) throw notWhole(`${path} is no exported runtime: ${error.message}`, error)
    throw error
  }
}

async function readManifest([first]: readonly ZipEntry[]): Promise<RuntimeManifest> {
  if (first?.name !== MANIFEST_FILE) throw notWhole(`its first entry is not ${MANIFEST_FILE}`)
  return decodeRuntimeManifest(await first.bytes(RUNTIME_MANIFEST_BYTES_MAX))
}

function checkEntries(entries: readonly ZipEntry[], parts: ReturnType<typeof runtimeParts>): void {
  const names = entries.slice(1).map(({ name }) => name)
  const wanted = parts.map(([name]) => name)
  if (names.join() !== wanted.join())
    throw notWhole(`it holds ${names.join(', ')}, and its manifest wants ${wanted.join(', ')}`)
  for (const [i, [name, { lengthBytes }]] of parts.entries()) {
    if (entries[i + 1].lengthBytes !== lengthBytes)
      throw notWhole(`${name} has ${entries[i + 1].lengthBytes} bytes, and its manifest says ${lengthBytes}`)
  }
}

async function unpack(entry: ZipEntry, { sha256 }: BlobRef, path: string): Promise<void> {
  const digest = createHash('sha256')
  const digested = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of entry.chunks()) {
      digest.update(chunk)
      yield chunk
    }
  }
  try {
    await writeSynced(path, digested(), 0o444)
  } catch (error) {
    throw error instanceof EvidenceError ? error : writeFailure(error, path, 'the runtime')
  }
  if (digest.digest('hex') !== sha256) throw notWhole(`${entry.name} has other bytes than its manifest says`)
}

function notWhole(message: string, cause?: unknown): RunnerError {
  return new RunnerError('RUNTIME_FILE', {
    message,
    hint: 'nothing was installed; get the file again, or build the runtime: reprise runtime build NAME',
    ...(cause !== undefined && { cause }),
  })
}
