/** The tree of an OCI image: layout, digests, layers with whiteouts. Rules: spec/loading.md §7. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, mkdir, open, readdir, readFile, stat, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PassThrough, type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { extract, list, type ReadEntry } from 'tar'
import { RecoveryError } from '../../error.ts'
import { lookInside, partsInside, removeInside } from './tree.ts'

const JSON_BYTES_MAX = 4 << 20
const LAYERS_MAX = 256
const NESTED_MAX = 4
const ENTRIES_MAX = 2_000_000
/** Of all layers, unpacked: 64 GiB. */
const UNPACKED_BYTES_MAX = 2 ** 36

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform?: { readonly os: string; readonly architecture: string }
  readonly annotations?: Readonly<Record<string, string>>
}

const REF = 'org.opencontainers.image.ref.name'
/** Node's names, and OCI's. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  ppc64: 'ppc64le',
  s390x: 's390x',
}

function refused(where: string, what: string, hint: string, cause?: unknown): RecoveryError {
  return new RecoveryError('IMAGE', { message: `${where}: ${what}.`, hint, cause })
}

/** Whether a folder is an OCI layout. */
export async function isOciLayout(folder: string): Promise<boolean> {
  return (await stat(join(folder, 'oci-layout')).catch(() => undefined))?.isFile() === true
}

/** Unpacks an archive that has an OCI layout in it. @throws {@link RecoveryError} `IMAGE` when it has none. */
export async function unpackLayout(archive: string, target: string): Promise<void> {
  try {
    await extract({
      file: archive,
      cwd: target,
      strict: true,
      filter: (path) => /^(\.\/)?(oci-layout|index\.json|blobs(\/sha256(\/[0-9a-f]{64})?)?\/?)$/.test(path),
    })
  } catch (cause) {
    throw refused(archive, `it cannot be unpacked (${(cause as Error).message})`, 'Is it a tar archive?', cause)
  }
  if (!(await isOciLayout(target)))
    throw refused(archive, 'there is no OCI layout in it', 'Make one: skopeo copy SOURCE oci-archive:FILE')
}

/**
 * Applies the layers of an image, in order, to a folder that is empty.
 *
 * @param ref - Which image, where a layout has several.
 * @throws {@link RecoveryError} `IMAGE` for a digest that does not hold, a layer that leads out of the image, or what is not understood.
 */
export async function unpackOci(layout: string, target: string, ref?: string): Promise<void> {
  const version = await json(join(layout, 'oci-layout'))
  if (member(version, 'imageLayoutVersion') !== '1.0.0')
    throw refused(layout, 'its layout has another version than 1.0.0', 'Make it anew: skopeo copy SOURCE oci:FOLDER')
  const index = await json(join(layout, 'index.json'))
  const manifest = await chooseManifest(layout, descriptors(index, 'manifests', layout), ref)
  const layers = descriptors(manifest, 'layers', layout)
  const config = await blobJson(layout, descriptor(member(manifest, 'config'), layout))
  const diffIds = member(member(config, 'rootfs'), 'diff_ids')
  if (layers.length > LAYERS_MAX || !Array.isArray(diffIds) || diffIds.length !== layers.length)
    throw refused(layout, `it has ${layers.length} layers, and its configuration says otherwise`, 'Make it anew.')
  await mkdir(target, { recursive: true })
  const left = { entries: ENTRIES_MAX, bytes: UNPACKED_BYTES_MAX }
  for (const [i, layer] of layers.entries()) {
    await checkBlob(layout, layer)
    await applyLayer({ layout, layer, target, diffId: String(diffIds[i]), left })
  }
}

/** The one for this machine; an index may stand in an index. */
async function chooseManifest(layout: string, all: readonly Descriptor[], ref?: string, depth = 0): Promise<unknown> {
  const named = ref === undefined || depth > 0 ? all : all.filter(({ annotations }) => annotations?.[REF] === ref)
  const architecture = ARCHITECTURES[process.arch]
  const fitting = named.filter(
    ({ platform }) => platform === undefined || (platform.os === 'linux' && platform.architecture === architecture),
  )
  if (fitting.length !== 1) {
    const names = all.map(
      ({ annotations, platform }) => annotations?.[REF] ?? `${platform?.os}/${platform?.architecture}`,
    )
    throw refused(
      layout,
      `${fitting.length} of its images fit this machine (linux/${architecture})${ref === undefined ? '' : ` and the name ${ref}`}; it has ${names.join(', ')}`,
      'Name one with --ref, or copy the one that is meant into a layout of its own.',
    )
  }
  const [chosen] = fitting
  const content = await blobJson(layout, chosen)
  if (member(content, 'manifests') === undefined) return content
  if (depth >= NESTED_MAX) throw refused(layout, 'its indices are nested too deeply', 'Copy the image that is meant.')
  return await chooseManifest(layout, descriptors(content, 'manifests', layout), ref, depth + 1)
}

interface Layer {
  readonly layout: string
  readonly layer: Descriptor
  readonly target: string
  /** Digest of the layer before it was compressed. */
  readonly diffId: string
  /** What all layers together may still hold. */
  readonly left: { entries: number; bytes: number }
}

/** First what the layer takes away or replaces, then what it brings: whiteouts are about layers below, wherever they stand. */
async function applyLayer(of: Layer): Promise<void> {
  const { layout, layer, target, left } = of
  const where = `layer ${layer.digest.slice(0, 19)}… of ${layout}`
  const { entries, links } = await entriesOf(of, where)
  for (const { parts, isFolder, twin } of entries) {
    if (twin !== undefined) await lookInside(target, twin, where)
    const name = parts.at(-1) ?? ''
    const folder = parts.slice(0, -1)
    if (name === '.wh..wh..opq') {
      for (const child of await childrenOf(target, folder))
        await removeInside(target, [...folder, child], { where, keepFolder: false })
    } else if (name.startsWith('.wh.')) {
      await removeInside(target, [...folder, ...partsInside(name.slice(4), where)], { where, keepFolder: false })
    } else if (parts.length > 0) await removeInside(target, parts, { where, keepFolder: isFolder })
  }
  const filter = (path: string, entry: unknown): boolean => {
    const { type } = entry as ReadEntry
    return !path.split('/').some((part) => part.startsWith('.wh.')) && !links.has(path) && !/Device$|^FIFO$/.test(type)
  }
  try {
    // Owners and times are not part of an image.
    const options = { cwd: target, strict: true, filter, preserveOwner: false, noMtime: true }
    await pipeline(await plainLayer(of), extract(options))
  } catch (cause) {
    throw refused(where, `it cannot be unpacked (${(cause as Error).message})`, 'Nothing of it was used.', cause)
  }
  // Modes as they are, whatever this process would take away from them.
  for (const { parts, mode } of entries) if (mode !== undefined) await chmod(join(target, ...parts), mode)
  for (const [path, link] of links) await makeLink({ target, path, link, where })
  left.entries -= entries.length
}

/**
 * Links last and by ourselves: tar makes absolute ones relative, which they are not in an image, and nothing of a layer is to be
 * written through one.
 */
async function makeLink(to: {
  readonly target: string
  readonly path: string
  readonly link: string
  readonly where: string
}): Promise<void> {
  const parts = partsInside(to.path, to.where)
  await removeInside(to.target, parts, { where: to.where, keepFolder: true })
  const at = join(to.target, ...parts)
  try {
    await mkdir(dirname(at), { recursive: true })
    await symlink(to.link, at)
  } catch (cause) {
    throw refused(
      to.where,
      `${to.path} is a link, and something else as well (${(cause as Error).message})`,
      'Ask whoever made it.',
      cause,
    )
  }
}

interface Entry {
  readonly parts: readonly string[]
  readonly isFolder: boolean
  /** Of files and folders. */
  readonly mode: number | undefined
  /** What a hard link is the same as. */
  readonly twin: readonly string[] | undefined
}

/** All entries, once it is sure that the layer is the one that the configuration means. */
async function entriesOf(
  of: Layer,
  where: string,
): Promise<{ entries: readonly Entry[]; links: ReadonlyMap<string, string> }> {
  const entries: Entry[] = []
  /** Symbolic links by path, and hard links to such. */
  const links = new Map<string, string>()
  let wrong: Error | undefined
  const note = ({ path, linkpath, type, mode }: ReadEntry): void => {
    try {
      const parts = partsInside(path, where)
      const isKept =
        /^(Directory|File|OldFile|ContiguousFile)$/.test(type) && !parts.some((part) => part.startsWith('.wh.'))
      entries.push({
        parts,
        isFolder: type === 'Directory',
        mode: isKept ? (mode ?? 0) & 0o7777 : undefined,
        twin: type === 'Link' ? partsInside(linkpath ?? '', where) : undefined,
      })
      const link = type === 'SymbolicLink' ? linkpath : type === 'Link' ? links.get(linkpath ?? '') : undefined
      if (link !== undefined) links.set(path, link)
      else links.delete(path)
      if (entries.length > of.left.entries)
        throw refused(where, `there are more than ${ENTRIES_MAX} files`, 'Split it.')
    } catch (error) {
      wrong ??= error as Error
    }
  }
  const hash = createHash('sha256')
  const hashing = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk)
      of.left.bytes -= chunk.length
      done(
        of.left.bytes < 0 ? new Error(`all layers together have more than ${UNPACKED_BYTES_MAX} bytes`) : null,
        chunk,
      )
    },
  })
  try {
    await pipeline(await plainLayer(of), hashing, list({ strict: true, onReadEntry: note }))
  } catch (cause) {
    throw refused(where, `it cannot be read (${(cause as Error).message})`, 'Bring the image again.', cause)
  }
  if (wrong !== undefined) throw wrong
  const digest = `sha256:${hash.digest('hex')}`
  if (digest === of.diffId) return { entries, links }
  throw refused(
    where,
    `unpacked it has the digest ${digest}, the configuration says ${of.diffId}`,
    'Bring the image again.',
  )
}

async function childrenOf(root: string, folder: readonly string[]): Promise<readonly string[]> {
  return await readdir(join(root, ...folder)).catch(() => [])
}

/** By its first bytes: gzip, zstd, or plain. */
async function plainLayer({ layout, layer }: Layer): Promise<Readable> {
  const path = blobPath(layout, layer)
  const head = Buffer.alloc(4)
  {
    await using file = await open(path, 'r')
    await file.read(head, 0, 4, 0)
  }
  const compressed = createReadStream(path)
  const magic = head.readUInt32BE(0)
  const unpacker =
    magic >>> 16 === 0x1f8b ? createGunzip() : magic === 0x28b52ffd ? createZstdDecompress() : new PassThrough()
  compressed.once('error', (error) => unpacker.destroy(error))
  return compressed.pipe(unpacker)
}

function blobPath(layout: string, { digest }: Descriptor): string {
  return join(layout, 'blobs/sha256', digest.slice('sha256:'.length))
}

/** @throws {@link RecoveryError} `IMAGE` with the digest that the blob has. */
async function checkBlob(layout: string, about: Descriptor): Promise<void> {
  const hash = createHash('sha256')
  let size = 0
  try {
    for await (const chunk of createReadStream(blobPath(layout, about)) as AsyncIterable<Buffer>) {
      hash.update(chunk)
      size += chunk.length
    }
  } catch (cause) {
    throw refused(
      layout,
      `blob ${about.digest} cannot be read (${(cause as Error).message})`,
      'Bring the image again.',
      cause,
    )
  }
  const digest = `sha256:${hash.digest('hex')}`
  if (digest === about.digest && size === about.size) return
  throw refused(
    layout,
    `blob ${about.digest} of ${about.size} bytes has the digest ${digest} and ${size} bytes`,
    'It is damaged or another one. Bring the image again; nothing of it was used.',
  )
}

async function blobJson(layout: string, about: Descriptor): Promise<unknown> {
  await checkBlob(layout, about)
  return await json(blobPath(layout, about))
}

async function json(path: string): Promise<unknown> {
  try {
    const { size } = await stat(path)
    if (size > JSON_BYTES_MAX) throw new RangeError(`it has more than ${JSON_BYTES_MAX} bytes`)
    return JSON.parse(await readFile(path, 'utf8')) as unknown
  } catch (cause) {
    throw refused(path, `it cannot be used (${(cause as Error).message})`, 'Is this an OCI layout, and whole?', cause)
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined
}

function descriptors(of: unknown, name: string, where: string): readonly Descriptor[] {
  const all = member(of, name)
  if (!Array.isArray(all)) throw refused(where, `it has no list of ${name}`, 'Is this an OCI layout, and whole?')
  return all.map((one) => descriptor(one, where))
}

function descriptor(value: unknown, where: string): Descriptor {
  const about = value as Descriptor
  if (/^sha256:[0-9a-f]{64}$/.test(String(member(value, 'digest'))) && Number.isSafeInteger(member(value, 'size')))
    return about
  throw refused(
    where,
    `a descriptor has no digest of SHA-256 or no size: ${JSON.stringify(value)}`.slice(0, 300),
    'Make it anew.',
  )
}
