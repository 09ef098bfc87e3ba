/**
 * Which commands start warm, and from what. It is a function of the command and its inputs alone, so that they give the same
 * computation everywhere. Rules: spec/computation.md §6, docs/decisions/0011-warm-starts.md.
 */
import { utf8, type BlobRef, type Computation, type MountSource, type WarmStart } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import type { WarmUp } from '../machine/index.ts'
import { runtimeOf } from './runtime-files.ts'
import { READ_AT_START, SITECUSTOMIZE, VARIABLES_AT_START, WARM_FILE, WARM_FOLDER, WARM_MODULE } from './warm-python.ts'

export interface WarmContext {
  readonly store: BlobStore
  /**
   * The snapshotRoot that a program comes to at its warm point; what it needs is in the store.
   *
   * @param title - Of the runtime, for people.
   */
  readonly warmRoot: (warmUp: WarmUp, title: string) => Promise<string>
}

type Variables = Readonly<Record<string, string>>

/**
 * The start of a computation whose other fields are all there.
 *
 * @param usual - The variables that the runtime is given when the user gives none.
 * @returns Undefined for what starts cold: other programs, and a Python whose start depends on what it is given.
 */
export async function warmStartOf(
  computation: Computation,
  usual: Variables,
  { store, warmRoot }: WarmContext,
): Promise<WarmStart | undefined> {
  const runtime = runtimeOf(computation)
  if (runtime?.name !== 'python' || !isWarmPython(computation, usual)) return undefined
  const [bootstrap] = await store.putAll(warmFiles())
  const start = pythonWarmUp(computation, bootstrap)
  return { kind: 'warm', ...start, snapshotRoot: await warmRoot({ ...computation, start }, runtime.title) }
}

/** Files of ours that warm-ups of this version name, for whoever looks for a blob by its digest. */
export function warmFiles(): readonly Uint8Array[] {
  return [utf8(SITECUSTOMIZE)]
}

function isWarmPython({ arguments: args, environment, mounts }: Computation, usual: Variables): boolean {
  const [, word, code] = args
  const isCode = word === '-c' || word === '-m'
  // Every other flag changes how the interpreter starts; without a word it reads its standard input.
  if (word === undefined || word === '' || (isCode ? code === undefined : word.startsWith('-'))) return false
  const names = new Set([...Object.keys(environment), ...Object.keys(usual)])
  for (const name of names) {
    if (VARIABLES_AT_START.test(name) && environment[name] !== usual[name]) return false
  }
  const [folder] = mounts
  return folder.source.kind === 'files' && folder.source.files.every(({ path }) => !READ_AT_START.includes(path))
}

function pythonWarmUp(computation: Computation, bootstrap: BlobRef): Omit<WarmStart, 'kind' | 'snapshotRoot'> {
  const environment = Object.entries(computation.environment).filter(([name]) => VARIABLES_AT_START.test(name))
  const file = { ...bootstrap, path: `${WARM_FOLDER}/${WARM_FILE}`, readOnly: true }
  return {
    arguments: ['python', '-m', WARM_MODULE],
    environment: { ...Object.fromEntries(environment), PYTHONPATH: `/${WARM_FOLDER}` },
    mounts: computation.mounts.map(({ source }, i): MountSource => {
      if (source.kind === 'archive') return source
      return { kind: 'files', files: i === 0 ? [file] : [] }
    }),
  }
}
