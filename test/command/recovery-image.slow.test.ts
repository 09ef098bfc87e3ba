/** `reprise recovery image`: what is built, what is shown of it, and what is refused. */
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { json, namesIn, Room, type Answer } from './room.ts'

let room: Room
let folder: string
beforeAll(async () => {
  room = await Room.create()
  folder = await room.newFolder({
    'services.json': '{"schema":"reprise/services/v1","services":[{"name":"web","command":["/bin/web"]}]}',
  })
  await mkdir(join(folder, 'tree/bin'), { recursive: true })
  await writeFile(join(folder, 'tree/bin/web'), '#!/bin/sh\n')
  await chmod(join(folder, 'tree/bin/web'), 0o755)
  for (const name of ['builder', 'other'])
    expect(await reprise('keys', 'new', name, '--as', 'image-signer', '-o', `${name}.pem`)).toMatchObject({ code: 0 })
})
afterAll(() => room[Symbol.asyncDispose]())

const reprise = (...words: string[]): Promise<Answer> =>
  room.reprise(['recovery', ...words], { cwd: folder, home: room.newHome('image') })
const build = (output: string, ...more: string[]): Promise<Answer> =>
  reprise('image', 'build', 'tree', '--version', '7', '--key', 'builder.pem', '-o', output, ...more)

test('an image says what it is, who signed it, and whether it is whole', async () => {
  const built = await build('web.image', '--services', 'services.json', '--name', 'web')
  expect(built).toMatchObject({ code: 0, stderr: '' })
  expect(built.stdout).toContain('web   version 7   web.image')
  expect((await stat(join(folder, 'web.image.key'))).mode & 0o777).toBe(0o600)
  expect(await readFile(join(folder, 'web.image.key'))).toHaveLength(32)

  const shown = await reprise(
    'image',
    'show',
    'web.image',
    '--signer',
    'builder.pem',
    '--content-key',
    'web.image.key',
    '--json',
  )
  expect(json<object>(shown)).toMatchObject({
    ...{ schema: 'reprise/recovery-image-result/v1', name: 'web', version: 7, services: ['web'], decrypted: true },
    payload: { kind: 'erofs' },
    signer: expect.stringMatching(/^04[0-9a-f]{128}$/) as string,
  })
  const again = json<{ payload: object }>(await build('again.image', '--services', 'services.json', '--json'))
  expect(again.payload).toMatchObject({ sha256: json<{ payload: { sha256: string } }>(shown).payload.sha256 })

  const stranger = await reprise('image', 'show', 'web.image', '--signer', 'other.pem')
  expect(stranger).toMatchObject({ code: 1, stderr: expect.stringContaining('is not signed by other.pem') as string })
  const wrong = await reprise('image', 'show', 'web.image', '--content-key', 'again.image.key')
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('CONTENT_KEY') as string })

  const bytes = await readFile(join(folder, 'web.image'))
  bytes[bytes.length - 20] ^= 1
  await writeFile(join(folder, 'damaged.image'), bytes)
  const damaged = await reprise('image', 'show', 'damaged.image', '--content-key', 'web.image.key')
  expect(damaged).toMatchObject({ code: 2, stderr: expect.stringMatching(/chunk \d+ of \d+ has the digest/) as string })
})

test('a key that is there is not written over, and a build that fails leaves nothing', async () => {
  await writeFile(join(folder, 'kept.image.key'), 'mine')
  expect(await build('kept.image', '--services', 'services.json')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('kept.image.key is there already') as string,
  })
  expect(await readFile(join(folder, 'kept.image.key'), 'utf8')).toBe('mine')
  const before = await namesIn(folder)
  expect(await build('none.image')).toMatchObject({ code: 2, stderr: expect.stringContaining('--services') as string })
  expect(await build('none.image', '--scratch', '/')).toMatchObject({ code: 3 })
  expect(await build('none.image', '--name', 'No Name')).toMatchObject({ code: 2 })
  expect(await namesIn(folder)).toEqual(before)
})
