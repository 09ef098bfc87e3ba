/** File systems of folders: the same bytes from the same contents, and all of them in it. */

import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { hex } from '@reprise/core'
import { Secret } from '../secret.ts'
import { person } from '../testing.ts'
import { buildImage, makeFileSystem } from './build.ts'
import { decryptImage, openImage } from './open-image.ts'

let scratch: string
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'reprise-build-'))
})
afterAll(() => rmSync(scratch, { recursive: true }))

const FILES = ['etc/hosts', 'etc/web.conf', 'usr/bin/web', 'usr/share/large', 'empty'] as const

/** The same tree, its files made in another order and at another time. */
function tree(name: string, order: (files: readonly string[]) => readonly string[], timeS: number): string {
  const folder = join(scratch, name)
  for (const each of ['etc', 'usr/bin', 'usr/share', 'var']) mkdirSync(join(folder, each), { recursive: true })
  for (const file of order(FILES)) {
    const path = join(folder, file)
    writeFileSync(path, file === 'empty' ? '' : `${file}\n`.repeat(file === 'usr/share/large' ? 40_000 : 3))
    utimesSync(path, timeS, timeS)
  }
  chmodSync(join(folder, 'usr/bin/web'), 0o755)
  chmodSync(join(folder, 'etc/web.conf'), 0o640)
  symlinkSync('hosts', join(folder, 'etc/link'))
  linkSync(join(folder, 'usr/bin/web'), join(folder, 'usr/bin/web-2'))
  return folder
}

test('a folder gives the same bytes, in whatever order and whenever its files were made', async () => {
  const [one, two] = [join(scratch, 'one.erofs'), join(scratch, 'two.erofs')]
  await makeFileSystem({ folder: tree('one', (files) => files, 1_000_000_000), target: one })
  writeFileSync(two, new Uint8Array(10_000_000))
  await makeFileSystem({ folder: tree('two', (files) => files.toReversed(), 1_700_000_000), target: two })
  expect(readFileSync(one).equals(readFileSync(two))).toBe(true)

  const out = join(scratch, 'out')
  execFileSync('fsck.erofs', [`--extract=${out}`, one], { env: { PATH: `${process.env['PATH']}:/usr/sbin:/sbin` } })
  for (const file of FILES) {
    expect(readFileSync(join(out, file)).equals(readFileSync(join(scratch, 'one', file)))).toBe(true)
  }
  expect(readlinkSync(join(out, 'etc/link'))).toBe('hosts')
  expect(statSync(join(out, 'etc/web.conf')).mode & 0o777).toBe(0o640)
  expect(readdirSync(join(out, 'usr/bin'))).toEqual(['web', 'web-2'])
})

test('an image of a folder holds that file system, and leaves nothing in the clear', async () => {
  const folder = tree('three', (files) => files, 1_000_000_000)
  const [target, plain] = [join(scratch, 'recovery.image'), join(scratch, 'plain.erofs')]
  const builder = person()
  using key = Secret.random(32)
  const about = { name: 'recovery', version: 1, roster: 1, approvals: 0, services: ['web'] }
  const before = readdirSync(scratch)
  const manifest = await buildImage({
    folder,
    scratch,
    target,
    key,
    about,
    sign: (message) => builder.sign(message).signature,
  })
  expect(readdirSync(scratch).toSorted()).toEqual([...before, 'recovery.image'].toSorted())
  await makeFileSystem({ folder, target: plain })
  const image = new Uint8Array(readFileSync(target))
  const source = {
    where: target,
    sizeBytes: image.length,
    read: async (into: Uint8Array, position: number) => {
      const piece = image.subarray(position, position + into.length)
      into.set(piece)
      return piece.length
    },
  }
  const trust = { signers: [builder.point], floors: { version: 1, roster: 0, approvals: 0 } }
  const parts: Uint8Array[] = []
  for await (const part of decryptImage(await openImage(source, trust), key)) parts.push(part.slice())
  expect(Buffer.concat(parts).equals(readFileSync(plain))).toBe(true)
  expect(manifest.payload.kind).toBe('erofs')
  expect(hex(manifest.payload.root)).toHaveLength(64)
})

test('a missing program and a missing folder are named', async () => {
  const target = join(scratch, 'none.erofs')
  await expect(makeFileSystem({ folder: scratch, target, searchPath: scratch })).rejects.toMatchObject({
    code: 'IMAGE_TOOL',
    hint: 'sudo apt-get install erofs-utils',
  })
  await expect(makeFileSystem({ folder: join(scratch, 'gone'), target })).rejects.toMatchObject({
    code: 'IMAGE_TOOL',
    message: expect.stringContaining('gone') as string,
  })
})
