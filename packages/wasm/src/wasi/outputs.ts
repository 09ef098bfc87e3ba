/** What the guest has put out: its streams, and the new and changed files of output mounts. */
import {
  ByteWriter,
  compare,
  compareText,
  equal,
  HashTree,
  pagesRoot,
  treeHash,
  utf8,
  type TreeHash,
} from '@reprise/core'
import type { Content } from './content.ts'
import type { Host } from './calls.ts'
import type { Directory, File, Mount } from './inode.ts'
import { lengthOf, readBytes, type UnreadBytes } from './options.ts'

export interface WasiOutput {
  /** Relative to the working folder; `/dev/stdout`, `/dev/stderr`; for any other mount the absolute guest path. */
  readonly path: string
  readonly lengthBytes: number
  /** A copy of the content. */
  readonly read: () => Uint8Array
}

/** A file that may be an output: the guest's own, or an input under another name. */
interface Candidate {
  readonly path: string
  readonly pathBytes: Uint8Array
  readonly content: Content
  /** What stood at this path before. */
  readonly input: Input | undefined
  leaf: { readonly root: Uint8Array; readonly digest: Uint8Array } | undefined
}

interface Input {
  readonly bytes: Uint8Array | UnreadBytes
  root: Uint8Array | undefined
}

/** The path of a mount's file among the outputs. */
export function outputPath(mount: Mount, path: string): string {
  return mount.index === 0 ? path : `${mount.at}/${path}`
}

export class Outputs {
  readonly #host: Host
  readonly #hash: TreeHash
  readonly #tree: HashTree
  /** By output path. */
  readonly #inputs = new Map<string, Input>()
  #candidates: readonly Candidate[] = []
  #revision = -1

  constructor(host: Host) {
    this.#host = host
    this.#hash = treeHash('outputs', host.options.sha256)
    this.#tree = new HashTree(this.#hash)
    for (const { mount } of host.tree.roots) {
      if (!mount.output) continue
      for (const { path, bytes } of host.options.mounts[mount.index]?.files ?? []) {
        this.#inputs.set(outputPath(mount, path), { bytes, root: undefined })
      }
    }
  }

  list(): readonly WasiOutput[] {
    return this.#present().map(({ path, content }) => ({
      path,
      lengthBytes: content.lengthBytes,
      read: () => content.view().slice(),
    }))
  }

  /** The `outputs` tree, spec/measurement.md §3. */
  root(): Uint8Array {
    const present = this.#present()
    this.#tree.resize(present.length)
    for (const [index, candidate] of present.entries()) this.#tree.setLeaf(index, this.#leafOf(candidate))
    return this.#tree.root()
  }

  /** Inputs of output mounts that are no files any more, by output path. */
  removed(): readonly string[] {
    const there = new Set<string>()
    for (const root of this.#outputRoots()) walk(root, (path) => there.add(outputPath(root.mount, path)))
    return [...this.#inputs.keys()].filter((path) => !there.has(path)).sort(compareText)
  }

  #present(): readonly Candidate[] {
    if (this.#revision !== this.#host.tree.namesRevision) this.#collect()
    return this.#candidates.filter(({ content, input }) => input === undefined || !this.#isSame(content, input))
  }

  #isSame(content: Content, input: Input): boolean {
    if (content.lengthBytes !== lengthOf(input.bytes)) return false
    input.root ??= pagesRoot(readBytes(input.bytes), this.#host.options.sha256)
    return equal(content.root(), input.root)
  }

  #leafOf(candidate: Candidate): Uint8Array {
    const root = candidate.content.root()
    // An unchanged content answers with the very same root.
    if (candidate.leaf?.root === root) return candidate.leaf.digest
    const data = new ByteWriter().sized(candidate.pathBytes).u64(BigInt(candidate.content.lengthBytes)).raw(root)
    candidate.leaf = { root, digest: this.#hash.leaf(data.done()) }
    return candidate.leaf.digest
  }

  #outputRoots(): readonly Directory[] {
    return this.#host.tree.roots.filter(({ mount }) => mount.output)
  }

  #collect(): void {
    const { stdout, stderr } = this.#host.tree.streams
    const found: Candidate[] = []
    const add = (path: string, content: Content) => {
      found.push({ path, pathBytes: utf8(path), content, input: this.#inputs.get(path), leaf: undefined })
    }
    add('/dev/stdout', stdout.content)
    add('/dev/stderr', stderr.content)
    for (const root of this.#outputRoots()) {
      walk(root, (path, file) => {
        if (file.content.owned || file.inputPath !== path) add(outputPath(root.mount, path), file.content)
      })
    }
    this.#candidates = found.sort((a, b) => compare(a.pathBytes, b.pathBytes))
    this.#revision = this.#host.tree.namesRevision
  }
}

/** Every file below, in no particular order. A list, as a guest can nest folders deeper than any stack. */
function walk(root: Directory, visit: (path: string, file: File) => void): void {
  const left: { readonly directory: Directory; readonly prefix: string }[] = [{ directory: root, prefix: '' }]
  for (let next; (next = left.pop()) !== undefined;) {
    for (const [name, inode] of next.directory.entries) {
      const path = next.prefix + name
      if (inode.kind === 'file') visit(path, inode)
      else if (inode.kind === 'directory') left.push({ directory: inode, prefix: `${path}/` })
    }
  }
}
