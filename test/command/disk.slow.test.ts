/** A disk that is full or may not be written: the run says so, and nothing is left half-written. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Answer, guest, namesIn, Room } from './room.ts'

let room: Room
let program: Uint8Array
let folder: string
beforeAll(async () => {
  room = await Room.create()
  program = await guest()
  folder = await room.newFolder({ 'guest.wasm': program })
  // Makes the TPM and what else a home needs.
  expect(await room.reprise(['run', 'guest.wasm'], { cwd: folder })).toMatchObject({ code: 0 })
})
afterAll(() => room[Symbol.asyncDispose]())
beforeEach(async () => {
  folder = await room.newFolder({ 'guest.wasm': program })
})

/** A file system that only this command sees; what is left there is listed before it goes. */
const ON_SMALL_DISK = `mount -t tmpfs -o size="$1" none "$PLACE" || exit 99
cd "$FOLDER"
[ -e guest.wasm ] || cp "$GUEST" guest.wasm
shift
"$@"
code=$?
ls -A "$PLACE" >"$LIST"
exit $code`

async function onSmallDisk(
  size: string,
  place: string,
  words: readonly string[],
): Promise<Answer & { left: string[] }> {
  const list = join(room.folder, 'left')
  const env = { LIST: list, PLACE: place, FOLDER: folder, GUEST: join(room.folder, 'guest.wasm') }
  await writeFile(env.GUEST, program)
  const wrap = ['unshare', '--mount', 'sh', '-c', ON_SMALL_DISK, 'sh', size]
  const answer = await room.reprise(words, { cwd: folder, wrap, env })
  return {
    ...answer,
    left: (await readFile(list, 'utf8'))
      .split('\n')
      .filter((name) => name !== '')
      .toSorted(),
  }
}

describe.runIf(process.getuid?.() === 0)('on a disk that is full', () => {
  test('outputs are not written at all, and the run and its record are there', async () => {
    const record = join(room.folder, 'elsewhere.reprise')
    const words = ['run', '-o', record, 'guest.wasm', 'write', 'small.txt', 'x', 'fill', 'big.bin', '2']
    const { code, stderr, left } = await onSmallDisk('1m', folder, words)
    expect(code).toBe(125)
    expect(stderr).toMatch(/^exited 0 [^]*^error +DISK_FULL .*big\.bin/m)
    expect(left).toEqual(['guest.wasm'])
    expect(await room.reprise(['verify', record], { cwd: folder })).toMatchObject({ code: 0 })
  })

  test('a record is not written at all', async () => {
    const words = ['run', '--no-write-back', 'guest.wasm', 'fill', 'big.bin', '2']
    const { code, stderr, left } = await onSmallDisk('1m', folder, words)
    expect({ code, left }).toEqual({ code: 125, left: ['guest.wasm'] })
    expect(stderr).toMatch(/^error +DISK_FULL .*record.*guest\.reprise\n +try: /m)
  })

  test.each([
    ['blobs', '100k', ['guest.wasm', 'fill', 'big.bin', '2']],
    ['cache', '100k', ['guest.wasm', 'say', 'ran']],
    ['runs', '4k', ['guest.wasm', 'say', 'ran']],
    ['runs', '256k', ['--checkpoint', 'every=10000000', 'guest.wasm', 'spin', '100000']],
  ])('the home’s %s of %s end the run with the reason', async (part, size, words) => {
    const { code, stderr } = await onSmallDisk(size, join(room.home, part), ['run', ...words])
    expect(code).toBe(125)
    expect(stderr).toMatch(/^error +DISK_FULL .*\n +try: /m)
    expect(stderr).not.toMatch(/^\s+at /m)
    expect(await namesIn(folder)).toEqual(['guest.wasm'])
  })

  test('an answer that cannot be written is not given', async () => {
    const wrap = ['sh', '-c', '"$@" >/dev/full', 'sh']
    const answers = [
      ['run', 'guest.wasm', 'say', 'x'],
      ['host', 'show'],
    ].map((words) => room.reprise(words, { cwd: folder, wrap }))
    const [run, show] = await Promise.all(answers)
    expect(run).toMatchObject({ code: 125, stderr: expect.stringContaining('DISK_FULL') as string })
    expect(show).toMatchObject({ code: 3, stderr: expect.stringContaining('DISK_FULL') as string })
  })
})

test('a file that may not grow further is not left half-written', async () => {
  // In blocks of 512 bytes.
  const wrap = ['sh', '-c', 'trap "" XFSZ; ulimit -f 1000; exec "$@"', 'sh']
  const { code, stderr } = await room.reprise(['run', 'guest.wasm', 'fill', 'big.bin', '2'], { cwd: folder, wrap })
  expect(code).toBe(125)
  expect(stderr).toMatch(/^error +(DISK_FULL|WRITE) /m)
  expect(await namesIn(folder)).toEqual(['guest.wasm'])
})
