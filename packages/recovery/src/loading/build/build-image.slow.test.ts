/** Images of what operators have: the same payload each time, with services that are really there. */

import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, sign } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hex, utf8 } from '@reprise/core'
import type { ImageManifest } from '../../sealing/image/manifest.ts'
import { openImageFile } from '../../sealing/image/file-source.ts'
import { decryptImage, inspectImage } from '../../sealing/image/open-image.ts'
import { Secret } from '../../sealing/secret.ts'
import { memoryRoom, type Room } from '../testing.ts'
import { readBootPayload } from './boot-payload.ts'
import { buildFrom, imageInput } from './build-image.ts'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
let room: Room
let key: Secret
beforeEach(() => {
  room = memoryRoom()
  key = Secret.random(32)
})
afterEach(() => room[Symbol.dispose]())

const services = (command = '/bin/web'): Uint8Array =>
  utf8(JSON.stringify({ schema: 'reprise/services/v1', services: [{ name: 'web', command: [command] }] }))

function folder(name: string): string {
  const path = join(room.path, name)
  mkdirSync(join(path, 'usr/bin'), { recursive: true })
  mkdirSync(join(path, 'etc'))
  writeFileSync(join(path, 'usr/bin/web'), '#!/bin/sh\n', { mode: 0o755 })
  writeFileSync(join(path, 'etc/data'), 'x'.repeat(100_000))
  symlinkSync('/usr/bin', join(path, 'bin'))
  return path
}

async function build(source: string, given: Uint8Array | undefined, commandLine?: string): Promise<ImageManifest> {
  return await buildFrom({
    input: await imageInput(source, commandLine === undefined ? {} : { commandLine }),
    services: given,
    scratch: room.path,
    seal: {
      target: join(room.path, 'image'),
      key,
      sign: (message) => new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })),
      about: { name: 'web', version: 7, roster: 1, approvals: 0 },
    },
  })
}

async function payloadOf(): Promise<Buffer> {
  await using source = await openImageFile(join(room.path, 'image'))
  const parts: Buffer[] = []
  for await (const chunk of decryptImage(await inspectImage(source), key)) parts.push(Buffer.from(chunk))
  return Buffer.concat(parts)
}

test('a folder gives the same payload each time, and stays as it was', async () => {
  const one = await build(folder('one'), services())
  const two = await build(folder('two'), services())
  expect(hex(one.payload.sha256)).toBe(hex(two.payload.sha256))
  expect(one).toMatchObject({ name: 'web', version: 7, services: ['web'], payload: { kind: 'erofs' } })
  expect(existsSync(join(room.path, 'one/etc/reprise'))).toBe(false)
  writeFileSync(join(room.path, 'payload'), await payloadOf())
  const listed = execFileSync('/usr/bin/fsck.erofs', [
    `--extract=${join(room.path, 'out')}`,
    join(room.path, 'payload'),
  ])
  expect(listed.toString()).not.toContain('error')
  expect(readFileSync(join(room.path, 'out/etc/reprise/services.json'))).toEqual(Buffer.from(services()))
})

test('an OCI image gives the payload that its tree gives', async () => {
  const tree = folder('tree')
  const archive = join(room.path, 'layer.tar')
  execFileSync('tar', ['-C', tree, '-cf', archive, '.'])
  const layout = join(room.path, 'layout')
  const digest = (file: string): string => execFileSync('sha256sum', [file]).toString().slice(0, 64)
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true })
  const blob = (bytes: Uint8Array) => {
    const temporary = join(room.path, 'blob')
    writeFileSync(temporary, bytes)
    const name = digest(temporary)
    writeFileSync(join(layout, 'blobs/sha256', name), bytes)
    return { mediaType: 'x', digest: `sha256:${name}`, size: bytes.length }
  }
  const layer = blob(readFileSync(archive))
  const config = blob(utf8(JSON.stringify({ rootfs: { diff_ids: [layer.digest] } })))
  const manifest = blob(utf8(JSON.stringify({ config, layers: [layer] })))
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(join(layout, 'index.json'), JSON.stringify({ manifests: [manifest] }))
  execFileSync('tar', ['-C', layout, '-cf', join(room.path, 'oci.tar'), '.'])

  const expected = await build(tree, services())
  for (const source of [layout, join(room.path, 'oci.tar')]) {
    const found = await build(source, services())
    expect(hex(found.payload.sha256)).toBe(hex(expected.payload.sha256))
  }
})

test('a kernel and its initrd come out as they went in', async () => {
  const [kernel, initrd] = [join(room.path, 'vmlinuz'), join(room.path, 'initrd')]
  writeFileSync(kernel, Buffer.alloc(1_500_000, 'k'))
  writeFileSync(initrd, Buffer.alloc(2_000_001, 'i'))
  const manifest = await build(`${kernel}+${initrd}`, undefined, 'console=ttyS0')
  expect(manifest).toMatchObject({ services: [], payload: { kind: 'bytes' } })
  const payload = join(room.path, 'payload')
  writeFileSync(payload, await payloadOf())
  const out = { kernel: join(room.path, 'k'), initrd: join(room.path, 'i') }
  expect(await readBootPayload(payload, out)).toEqual({ commandLine: 'console=ttyS0' })
  expect(readFileSync(out.kernel).equals(readFileSync(kernel))).toBe(true)
  expect(readFileSync(out.initrd).equals(readFileSync(initrd))).toBe(true)

  expect(await build(`${kernel}+${initrd}`, services('/of/the/next/kernel'))).toMatchObject({ services: ['web'] })

  writeFileSync(payload, (await payloadOf()).subarray(0, -1))
  for (const path of Object.values(out)) rmSync(path)
  await expect(readBootPayload(payload, out)).rejects.toThrow('it has 3500')
})

test('what would fail in the outage fails here', async () => {
  const tree = folder('tree')
  await expect(build(tree, undefined)).rejects.toThrow('has no /etc/reprise/services.json')
  await expect(build(tree, services('/bin/wbe'))).rejects.toThrow(
    'Service web is started by /bin/wbe, which is not in the image',
  )
  await expect(build(tree, services('/etc/data'))).rejects.toThrow('no program that can be run')
  await expect(build(tree, utf8('{}'))).rejects.toMatchObject({ code: 'SERVICES' })
  await expect(build(join(room.path, 'none'), services())).rejects.toThrow('There is no ')
  expect(existsSync(join(room.path, 'image'))).toBe(false)
})
