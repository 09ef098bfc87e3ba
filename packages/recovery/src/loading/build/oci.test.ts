/** OCI images as trees: whiteouts, digests, and layers that would leave the image. */

import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { create, Header } from 'tar'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { unpackLayout, unpackOci } from './oci.ts'

let scratch: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'reprise-oci-'))
})
afterEach(() => rmSync(scratch, { recursive: true }))

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** A layer of files: content, or null for a folder, or a link. */
type Files = Readonly<Record<string, string | null | { readonly link: string }>>

function layerOf(files: Files): Buffer {
  const tree = mkdtempSync(join(scratch, 'layer-'))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(tree, dirname(path)), { recursive: true })
    if (content === null) mkdirSync(join(tree, path), { recursive: true })
    else if (typeof content === 'string') writeFileSync(join(tree, path), content)
    else symlinkSync(content.link, join(tree, path))
  }
  return archive(tree)
}

function archive(tree: string): Buffer {
  const file = `${tree}.tar`
  create({ file, cwd: tree, sync: true }, readdirSync(tree))
  return readFileSync(file)
}

interface Made {
  readonly compress?: (bytes: Buffer) => Uint8Array
  readonly platform?: { readonly os: string; readonly architecture: string }
}

/** An OCI layout with one image. */
function layoutOf(layers: readonly Buffer[], { compress = gzipSync, platform }: Made = {}): string {
  const layout = join(scratch, 'layout')
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true })
  const blob = (bytes: Uint8Array, mediaType: string) => {
    writeFileSync(join(layout, 'blobs/sha256', sha256(bytes)), bytes)
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length }
  }
  const json = (value: unknown, mediaType: string) => blob(Buffer.from(JSON.stringify(value)), mediaType)
  const diffIds = layers.map((layer) => `sha256:${sha256(layer)}`)
  const config = json({ rootfs: { type: 'layers', diff_ids: diffIds } }, 'application/vnd.oci.image.config.v1+json')
  const blobs = layers.map((layer) => blob(compress(layer), 'application/vnd.oci.image.layer.v1.tar+gzip'))
  const manifest = json({ schemaVersion: 2, config, layers: blobs }, 'application/vnd.oci.image.manifest.v1+json')
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(
    join(layout, 'index.json'),
    JSON.stringify({ manifests: [{ ...manifest, ...(platform && { platform }) }] }),
  )
  return layout
}

async function unpacked(...layers: readonly Files[]): Promise<string> {
  const target = join(scratch, 'tree')
  await unpackOci(layoutOf(layers.map(layerOf)), target)
  return target
}

/** An archive with one entry that no honest program writes. */
function entry(about: {
  path: string
  type: 'File' | 'SymbolicLink' | 'Link' | 'CharacterDevice'
  linkpath?: string
}): Buffer {
  const content = Buffer.alloc(about.type === 'File' ? 512 : 0, 'x')
  const header = new Header({ mode: 0o644, size: content.length, uid: 0, gid: 0, mtime: new Date(0), ...about })
  header.encode()
  return Buffer.concat([header.block ?? Buffer.alloc(0), content, Buffer.alloc(1024)])
}

describe('layers', () => {
  test('come one over the other, and take away what they mark', async () => {
    const tree = await unpacked(
      { 'etc/a': '1', 'etc/b': '1', 'etc/dir/x': '1', 'opt/old/y': '1', 'var/file': '1', 'srv/was-folder/z': '1' },
      {
        'etc/a': '2',
        'etc/.wh.b': '',
        'etc/.wh.dir': '',
        'opt/.wh..wh..opq': '',
        'opt/new': '2',
        'srv/was-folder': 'a file now',
        'var/.wh.file': '',
        'var/file': 'anew',
      },
    )
    expect(readFileSync(join(tree, 'etc/a'), 'utf8')).toBe('2')
    expect(readdirSync(join(tree, 'etc'))).toEqual(['a'])
    expect(readdirSync(join(tree, 'opt'))).toEqual(['new'])
    expect(readFileSync(join(tree, 'srv/was-folder'), 'utf8')).toBe('a file now')
    expect(readFileSync(join(tree, 'var/file'), 'utf8')).toBe('anew')
  })

  test.each([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
    ['nothing', (bytes: Buffer) => bytes],
  ] as const)('compressed by %s', async (_name, compress) => {
    await unpackOci(layoutOf([layerOf({ 'a/b': 'c' })], { compress }), join(scratch, 'tree'))
    expect(readFileSync(join(scratch, 'tree/a/b'), 'utf8')).toBe('c')
  })

  test('keep modes and links, and not the mask of this process', async () => {
    const from = mkdtempSync(join(scratch, 'layer-'))
    writeFileSync(join(from, 'tool'), '#!')
    chmodSync(join(from, 'tool'), 0o4777)
    linkSync(join(from, 'tool'), join(from, 'twin'))
    mkdirSync(join(from, 'tmp'))
    chmodSync(join(from, 'tmp'), 0o1777)
    symlinkSync('/etc/passwd', join(from, 'out'))
    await unpackOci(layoutOf([archive(from)]), join(scratch, 'tree'))
    expect((statSync(join(scratch, 'tree/tool')).mode & 0o7777).toString(8)).toBe('4777')
    expect((statSync(join(scratch, 'tree/tmp')).mode & 0o7777).toString(8)).toBe('1777')
    expect(statSync(join(scratch, 'tree/twin')).ino).toBe(statSync(join(scratch, 'tree/tool')).ino)
    expect(readlinkSync(join(scratch, 'tree/out'))).toBe('/etc/passwd')
  })

  test('a file that is replaced leaves its twin as it was', async () => {
    const from = mkdtempSync(join(scratch, 'layer-'))
    writeFileSync(join(from, 'one'), 'first')
    linkSync(join(from, 'one'), join(from, 'two'))
    await unpackOci(layoutOf([archive(from), layerOf({ one: 'second' })]), join(scratch, 'tree'))
    expect(readFileSync(join(scratch, 'tree/one'), 'utf8')).toBe('second')
    expect(readFileSync(join(scratch, 'tree/two'), 'utf8')).toBe('first')
  })

  test('devices are left out', async () => {
    await unpackOci(layoutOf([entry({ path: 'console', type: 'CharacterDevice' })]), join(scratch, 'tree'))
    expect(readdirSync(join(scratch, 'tree'))).toEqual([])
  })
})

describe('what would leave the image', () => {
  test.each([
    ['a way up', [entry({ path: '../out', type: 'File' })]],
    ['a way up in the middle', [entry({ path: 'a/../../out', type: 'File' })]],
    ['an absolute path', [entry({ path: '/tmp/reprise-out', type: 'File' })]],
    ['a hard link out', [entry({ path: 'a', type: 'Link', linkpath: '../../out' })]],
    ['a whiteout of what is above', [entry({ path: 'a/.wh...', type: 'File' })]],
    [
      'a link of this layer',
      [
        Buffer.concat([
          entry({ path: 'a', type: 'SymbolicLink', linkpath: '..' }).subarray(0, 512),
          entry({ path: 'a/out', type: 'File' }),
        ]),
      ],
    ],
    [
      'a link of a layer below',
      [entry({ path: 'a', type: 'SymbolicLink', linkpath: '..' }), entry({ path: 'a/out', type: 'File' })],
    ],
    [
      'a hard link through a link',
      [
        entry({ path: 'a', type: 'SymbolicLink', linkpath: '..' }),
        entry({ path: 'b', type: 'Link', linkpath: 'a/out' }),
      ],
    ],
    [
      'a whiteout through a link',
      [entry({ path: 'a', type: 'SymbolicLink', linkpath: '..' }), entry({ path: 'a/.wh.out', type: 'File' })],
    ],
    [
      'an opaque mark through a link',
      [entry({ path: 'a', type: 'SymbolicLink', linkpath: '..' }), entry({ path: 'a/.wh..wh..opq', type: 'File' })],
    ],
  ])('%s is refused', async (_what, layers) => {
    writeFileSync(join(scratch, 'out'), 'mine')
    await expect(unpackOci(layoutOf(layers), join(scratch, 'tree'))).rejects.toMatchObject({ code: 'IMAGE' })
    expect(readFileSync(join(scratch, 'out'), 'utf8')).toBe('mine')
    expect(existsSync('/tmp/reprise-out')).toBe(false)
    expect(lstatSync(join(scratch, 'out')).isFile()).toBe(true)
  })
})

describe('what is not whole', () => {
  const layer = () => layerOf({ a: 'b' })

  test('a blob with another digest is named with both', async () => {
    // Made once: an archive holds the second at which its files were written.
    const whole = layer()
    const layout = layoutOf([whole])
    const blob = join(layout, 'blobs/sha256', sha256(gzipSync(whole)))
    writeFileSync(blob, gzipSync(layerOf({ a: 'c' })))
    await expect(unpackOci(layout, join(scratch, 'tree'))).rejects.toThrow(
      /blob sha256:\w+ of \d+ bytes has the digest sha256:/,
    )
    rmSync(blob)
    await expect(unpackOci(layout, join(scratch, 'tree'))).rejects.toThrow('cannot be read')
  })

  test('a layer that is another one than the configuration says', async () => {
    const layout = layoutOf([layer()], { compress: () => gzipSync(layerOf({ a: 'another' })) })
    await expect(unpackOci(layout, join(scratch, 'tree'))).rejects.toThrow('the configuration says')
  })

  test('an image for another machine', async () => {
    const layout = layoutOf([layer()], { platform: { os: 'linux', architecture: 'sparc64' } })
    await expect(unpackOci(layout, join(scratch, 'tree'))).rejects.toThrow('it has linux/sparc64')
  })

  test('an archive is unpacked, and one without a layout refused', async () => {
    const layout = layoutOf([layer()])
    create({ file: join(scratch, 'oci.tar'), cwd: layout, sync: true }, ['.'])
    mkdirSync(join(scratch, 'again'))
    await unpackLayout(join(scratch, 'oci.tar'), join(scratch, 'again'))
    await unpackOci(join(scratch, 'again'), join(scratch, 'tree'))
    expect(readFileSync(join(scratch, 'tree/a'), 'utf8')).toBe('b')
    mkdirSync(join(scratch, 'none'))
    writeFileSync(join(scratch, 'none.tar'), layer())
    await expect(unpackLayout(join(scratch, 'none.tar'), join(scratch, 'none'))).rejects.toThrow('no OCI layout in it')
  })
})
