/**
 * Which commands start warm, and from what. It is a function of the command and its inputs alone, so that they give the same
 * computation everywhere. Rules: spec/computation.md §6, docs/decisions/0011-warm-starts.md.
 */
import { utf8, type BlobRef, type Computation, type MountSource, type WarmStart } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import type { WarmUp } from '../machine/index.ts'
import type { ChosenRuntime } from './chosen.ts'
import { WARM_KINDS, type WarmKind } from './warm-kinds.ts'

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
 * @param runtime - What it is run with.
 * @param usual - The variables that the runtime is given when the user gives none.
 * @returns Undefined for what starts cold: other programs, and a Python whose start depends on what it is given.
 */
export async function warmStartOf(
  computation: Computation,
  runtime: ChosenRuntime,
  usual: Variables,
  { store, warmRoot }: WarmContext,
): Promise<WarmStart | undefined> {
  const kind = runtime.warm === undefined ? undefined : WARM_KINDS[runtime.warm]
  if (kind === undefined || !isWarm(computation, kind, usual)) return undefined
  const [bootstrap] = await store.putAll([utf8(kind.bootstrap)])
  const start = warmUpOf(computation, kind, bootstrap)
  return { kind: 'warm', ...start, snapshotRoot: await warmRoot({ ...computation, start }, runtime.title) }
}

/** Files of ours that warm-ups of this version name, for whoever looks for a blob by its digest. */
export function warmFiles(): readonly Uint8Array[] {
  return Object.values(WARM_KINDS).map(({ bootstrap }) => utf8(bootstrap))
}

function isWarm(computation: Computation, kind: WarmKind, usual: Variables): boolean {
  const { arguments: args, environment, mounts } = computation
  const [, word, code] = args
  const isCode = word === '-c' || word === '-m'
  // Every other flag changes how the interpreter starts; without a word it reads its standard input.
  if (word === undefined || word === '' || (isCode ? code === undefined : word.startsWith('-'))) return false
  const names = new Set([...Object.keys(environment), ...Object.keys(usual)])
  for (const name of names) {
    if (kind.variablesAtStart.test(name) && environment[name] !== usual[name]) return false
  }
  const [folder] = mounts
  if (folder.source.kind !== 'files') return false
  return folder.source.files.every(
    ({ path }) => !kind.readAtStart.includes(path) && !kind.modulesAtStart.has(moduleOf(path)),
  )
}

/** The name by which Python would import a file from its own folder, or a package from the one around that. */
function moduleOf(path: string): string {
  const parts = path.replace(/\.py$/, '').split('/')
  return (parts.at(-1) === '__init__' ? parts.at(-2) : parts.at(-1)) ?? ''
}

function warmUpOf(
  computation: Computation,
  kind: WarmKind,
  bootstrap: BlobRef,
): Omit<WarmStart, 'kind' | 'snapshotRoot'> {
  const environment = Object.entries(computation.environment).filter(([name]) => kind.variablesAtStart.test(name))
  const file = { ...bootstrap, path: `${kind.folder}/${kind.file}`, readOnly: true }
  return {
    arguments: kind.arguments,
    environment: { ...Object.fromEntries(environment), PYTHONPATH: `/${kind.folder}` },
    mounts: computation.mounts.map(({ source }, i): MountSource => {
      if (source.kind === 'archive') return source
      return { kind: 'files', files: i === 0 ? [file] : [] }
    }),
  }
}
