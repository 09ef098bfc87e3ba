/**
 * Outputs go back to the real folder once a run has ended: new and changed files only, each whole or not at all.
 *
 * Nothing is deleted. A file that somebody changed while the program ran is kept, as is one that was no input that an output
 * may replace: such an output is reported as a conflict and stays in the store. All files are first written beside their
 * places under hidden names and only then renamed, so a full disk changes nothing.
 */
import { chmod, lstat, mkdir, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'
import { digestFile, isTemporaryName, syncFolder, temporaryName, writeSynced } from '../durable.ts'
import { RunnerError, systemCode, writeFailure } from '../error.ts'
import { mapLimited } from '../parallel.ts'

export interface WrittenOutput {
  /** Relative to the working folder. */
  readonly path: string
  readonly sha256: string
  readonly lengthBytes: number
  readonly open: () => AsyncIterable<Uint8Array>
}

export interface WriteBackRequest {
  /** The real folder. */
  readonly folder: string
  readonly outputs: readonly WrittenOutput[]
  /** SHA-256 of what went in, by path: the only files that may be replaced. */
  readonly started: ReadonlyMap<string, string>
  /** Milliseconds since 1970, to tell what a killed run left behind. */
  readonly now?: number
}

export interface Conflict {
  readonly path: string
  readonly sha256: string
  readonly reason:
    | 'changed' // somebody wrote it while the program ran
    | 'not-an-input' // it is there, but no input that an output may replace
    | 'link' // a symbolic link stands there
    | 'not-a-file' // a folder or a device stands there, or a file where a folder is needed
    | 'outside' // it would land outside the folder
    | 'name' // the file system takes no such name
}

export interface WriteBackResult {
  /** Paths that were created or replaced. */
  readonly written: readonly string[]
  /** Paths that hold these very bytes already. */
  readonly same: readonly string[]
  /** Outputs that were not written; they are in the store. */
  readonly conflicts: readonly Conflict[]
}

const WRITES_AT_ONCE = 16
const ABANDONED_AFTER_MS = 3600 * 1000

/**
 * @throws RunnerError `DISK_FULL` or `WRITE` naming the file, with no file of the folder changed when it came before the first
 *   rename; whatever fails, no file is half-written and the temporary ones are gone.
 */
export async function writeBack(request: WriteBackRequest): Promise<WriteBackResult> {
  const folder = await realpath(request.folder).catch((error: unknown) => {
    throw writeFailure(error, request.folder, 'the outputs')
  })
  const changed = request.outputs.filter(({ path, sha256 }) => request.started.get(path) !== sha256)
  const judged = await mapLimited(changed, WRITES_AT_ONCE, async (output) => ({
    output,
    verdict: await judge(output, folder, request.started),
  }))
  const wanted = judged.filter(({ verdict }) => verdict === 'write').map(({ output }) => output)
  await replaceAll(wanted, folder, request.now ?? Date.now())
  return {
    conflicts: judged.flatMap(({ output: { path, sha256 }, verdict }) =>
      verdict === 'write' || verdict === 'same' ? [] : [{ path, reason: verdict, sha256 }],
    ),
    same: judged.filter(({ verdict }) => verdict === 'same').map(({ output }) => output.path),
    written: wanted.map(({ path }) => path),
  }
}

type Verdict = 'write' | 'same' | Conflict['reason']

async function judge(
  { path, sha256, lengthBytes }: WrittenOutput,
  folder: string,
  started: WriteBackRequest['started'],
): Promise<Verdict> {
  if (!staysInside(path)) return 'outside'
  const parent = await judgeParent(path, folder)
  if (parent !== 'write') return parent
  const target = join(folder, path)
  const found = await lstat(target).catch((error: unknown) => missingOr(error, target))
  if (found === 'missing') return 'write'
  if (found === 'name') return found
  if (found.isSymbolicLink()) return 'link'
  if (!found.isFile()) return 'not-a-file'
  const current = await digestFile(target).catch((error: unknown) => {
    throw writeFailure(error, target, 'an output')
  })
  if (current.sha256 === sha256 && current.lengthBytes === lengthBytes) return 'same'
  if (!started.has(path)) return 'not-an-input'
  return current.sha256 === started.get(path) ? 'write' : 'changed'
}

function staysInside(path: string): boolean {
  return (
    path !== '' && !path.includes('\0') && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  )
}

/** Whether the folders on the way are folders, and none leads outside through a link. */
async function judgeParent(path: string, folder: string): Promise<'write' | 'outside' | 'not-a-file' | 'name'> {
  const parts = path.split('/').slice(0, -1)
  for (let length = 1; length <= parts.length; length++) {
    const way = join(folder, ...parts.slice(0, length))
    const found = await lstat(way).catch((error: unknown) => missingOr(error, way))
    if (found === 'missing') return 'write'
    if (found === 'name') return found
    const real = await realpath(way).catch(() => undefined)
    if (real === undefined || escapes(relative(folder, real))) return 'outside'
    if (!(await stat(real)).isDirectory()) return 'not-a-file'
  }
  return 'write'
}

function escapes(way: string): boolean {
  return way === '..' || way.startsWith(`..${sep}`)
}

function missingOr(error: unknown, path: string): 'missing' | 'name' {
  const code = systemCode(error)
  if (code === 'ENOENT') return 'missing'
  if (code === 'ENAMETOOLONG' || code === 'EINVAL' || code === 'EILSEQ') return 'name'
  throw writeFailure(error, path, 'an output')
}

async function replaceAll(outputs: readonly WrittenOutput[], folder: string, now: number): Promise<void> {
  const created: string[] = []
  const staged: { readonly temporary: string; readonly target: string }[] = []
  try {
    const parents = [...new Set(outputs.map(({ path }) => dirname(join(folder, path))))]
    for (const parent of parents) {
      await makeFolder(parent, folder, created)
      await removeAbandoned(parent, now)
    }
    await mapLimited(outputs, WRITES_AT_ONCE, async (output) => {
      const target = join(folder, output.path)
      const temporary = temporaryName(dirname(target))
      staged.push({ target, temporary })
      await stage(output, { target, temporary })
    })
    for (const { temporary, target } of staged) {
      await rename(temporary, target).catch((error: unknown) => {
        throw writeFailure(error, target, 'an output')
      })
    }
    const touched = new Set([...parents, ...created.map((path) => dirname(path))])
    await mapLimited([...touched], WRITES_AT_ONCE, syncFolder)
  } catch (error) {
    await mapLimited(staged, WRITES_AT_ONCE, ({ temporary }) => rm(temporary, { force: true }))
    // A folder that is in use by now stays.
    for (const path of created.reverse()) await rmdir(path).catch(() => undefined)
    throw error
  }
}

async function makeFolder(path: string, folder: string, created: string[]): Promise<void> {
  try {
    const first = await mkdir(path, { recursive: true })
    if (first === undefined) return
    for (let made = path; made.length >= first.length; made = dirname(made)) created.splice(created.length, 0, made)
    created.sort((a, b) => a.length - b.length)
  } catch (error) {
    throw writeFailure(error, path, `an output's folder (below ${folder})`)
  }
}

/** Writes an output beside its place, with the permissions of what it replaces. */
async function stage(
  output: WrittenOutput,
  { temporary, target }: { readonly temporary: string; readonly target: string },
): Promise<void> {
  try {
    await writeSynced(temporary, output.open())
    const replaced = await stat(target).catch(() => undefined)
    if (replaced) await chmod(temporary, replaced.mode & 0o777)
  } catch (error) {
    throw error instanceof RunnerError
      ? error
      : writeFailure(
          error,
          target,
          `the output ${basename(target)} (${output.lengthBytes} bytes; it stays in the store)`,
        )
  }
}

/** What a killed run left half-written. */
async function removeAbandoned(folder: string, now: number): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!isTemporaryName(name)) continue
    const path = join(folder, name)
    const found = await stat(path).catch(() => undefined)
    if (found && now - found.mtimeMs > ABANDONED_AFTER_MS) await rm(path, { force: true })
  }
}
