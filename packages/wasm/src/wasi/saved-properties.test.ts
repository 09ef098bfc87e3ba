import { createHash } from 'node:crypto'
import { hex } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WasmError } from '../error.ts'
import { ABIS, EventType, FdFlags, FILE_RIGHTS, OpenFlags, Rights, RIGHTS_TO_WRITE } from './abi.ts'
import type { SavedHost, WasiHost } from './index.ts'
import { CALLS, FIXED, prepare, start, textOf, type Started } from './test-calls.ts'
import { ALL_RIGHTS, type TestGuest } from './test-guest.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())

const number = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constantFrom(64, 1024, 2048, -1))
const anyCall = fc
  .constantFrom(...CALLS)
  .chain(([name, parameters]) =>
    fc.tuple(
      fc.constant(name),
      fc.tuple(...parameters.split('').map((letter) => (letter === 'I' ? number.map(BigInt) : number))),
    ),
  )

/** Mostly what a call opened: 0 to 6 are there from the start. */
const fd = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(7, 7, 8, 8, 9) }, fc.nat(12))
const path = fc.constantFrom(
  'a',
  'b',
  'd',
  'd/c',
  'd/input',
  FIXED,
  'e',
  'e/a',
  'e/h',
  'f',
  'f/g',
  'f/g/input',
  '.',
  'f/../b/',
  'dev',
  'dev/null',
)
const directory = fc.oneof({ weight: 9, arbitrary: fc.constant(3) }, fd)
const length = fc.oneof(fc.nat(20), fc.nat(5000))
const READING = (FILE_RIGHTS & ~RIGHTS_TO_WRITE) | Rights.FD_READDIR

/** Calls that mean something, and leave open what they open. */
const act = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('open' as const),
      path,
      dir: directory,
      flags: fc.constantFrom(
        0,
        OpenFlags.CREAT,
        OpenFlags.CREAT,
        OpenFlags.CREAT | OpenFlags.TRUNC,
        OpenFlags.DIRECTORY,
      ),
      fdFlags: fc.constantFrom(0, FdFlags.APPEND),
      follow: fc.boolean(),
      // All that can be asked for, or what reading takes.
      writes: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('close' as const, 'sync' as const), fd }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('write' as const), fd, length, byte: fc.nat(255) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('read' as const, 'size' as const, 'seek' as const), fd, length }),
  },
  fc.record({
    kind: fc.constant('list' as const),
    fd: fc.constantFrom(3, 4, 7, 8),
    cookie: fc.nat(4),
    length: fc.nat(200),
  }),
  fc.record({ kind: fc.constant('renumber' as const), fd, to: fd }),
  fc.record({ kind: fc.constant('rights' as const), fd, rights: fc.nat() }),
  fc.record({ kind: fc.constant('times' as const), fd, at: fc.nat(9) }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('rename' as const, 'link' as const, 'symlink' as const),
      path,
      to: path,
      dir: directory,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('makeDirectory' as const, 'removeDirectory' as const, 'unlink' as const),
      path,
      dir: directory,
    }),
  },
  fc.record({ kind: fc.constantFrom('clock' as const, 'random' as const, 'sleep' as const), length: fc.nat(100) }),
  fc.record({ kind: fc.constant('any' as const), call: anyCall }),
)
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never

/** @returns The errno. */
function perform(guest: TestGuest, a: Act): number {
  switch (a.kind) {
    case 'open':
      return guest.open(a.path, { ...a, rights: a.writes ? ALL_RIGHTS : READING }).errno
    case 'close':
      return guest.close(a.fd).errno
    case 'sync':
      return guest.call('fd_sync', a.fd)
    case 'write':
      return guest.write(a.fd, new Uint8Array(a.length).fill(a.byte)).errno
    case 'read':
      return guest.read(a.fd, a.length).errno
    case 'size':
      return guest.setSize(a.fd, BigInt(a.length)).errno
    case 'seek':
      return guest.seek(a.fd, BigInt(a.length), 'set').errno
    case 'list':
      return guest.listFrom(a.fd, BigInt(a.cookie), a.length).errno
    case 'renumber':
      return guest.renumber(a.fd, a.to).errno
    case 'rights':
      return guest.call('fd_fdstat_set_rights', a.fd, BigInt(a.rights & READING), 0n)
    case 'times':
      return guest.setTimes(a.fd, BigInt(a.at), 0n, 5).errno
    case 'rename':
      return guest.rename(a.path, a.to, { source: a.dir }).errno
    case 'link':
      return guest.link(a.path, a.to, { target: a.dir }).errno
    case 'symlink':
      return guest.symlink(a.path, a.to, a.dir).errno
    case 'makeDirectory':
    case 'removeDirectory':
    case 'unlink':
      return guest[a.kind](a.path, a.dir).errno
    case 'clock':
      return guest.call('clock_time_get', a.length % 4, 0n, 64)
    case 'random':
      return guest.call('random_get', 4096, a.length)
    case 'sleep':
      new Uint8Array(guest.memory.buffer).fill(0, 512, 1024)
      guest.view.setUint8(512 + 8, EventType.CLOCK)
      guest.view.setBigUint64(512 + guest.abi.subscription.timeout, BigInt(a.length), true)
      return guest.call('poll_oneoff', 512, 768, 1, 64)
    case 'any':
      return guest.call(a.call[0], ...a.call[1])
  }
}

/** All that a host shows. */
function shownBy(wasi: WasiHost) {
  return {
    state: hex(wasi.encodeState()),
    outputsRoot: hex(wasi.outputsRoot()),
    outputs: wasi.outputs().map(({ path, read }) => `${path} ${hex(sha256(read()))}`),
    removed: wasi.removed(),
    notes: wasi.notes(),
  }
}

function same(a: Started, b: Started): void {
  expect(shownBy(b.wasi)).toEqual(shownBy(a.wasi))
  expect(Buffer.compare(new Uint8Array(a.guest.memory.buffer), new Uint8Array(b.guest.memory.buffer))).toBe(0)
}

const acts = (max: number) => fc.array(act, { minLength: 1, maxLength: max, size: 'max' })

/** Where these calls lead from the start. */
function after(before: readonly Act[], module = ABIS[0].module): Started {
  const started = start(sha256, module)
  prepare(started.guest)
  for (const a of before) perform(started.guest, a)
  return started
}

describe('a host that was saved', () => {
  test.each(ABIS)('$module: goes on in another one as it would have in the first', ({ module }) => {
    fc.assert(
      fc.property(acts(60), acts(20), (before, afterwards) => {
        const first = after(before, module)
        const second = first.resume()
        expect(textOf(second.wasi.save())).toBe(textOf(first.wasi.save()))
        same(first, second)
        first.told.length = 0
        for (const a of afterwards) {
          expect(perform(second.guest, a)).toBe(perform(first.guest, a))
          same(first, second)
        }
        expect(second.told).toEqual(first.told)
        expect(textOf(second.wasi.save())).toBe(textOf(first.wasi.save()))
      }),
      { numRuns: process.env['REPRISE_TESTS'] === 'check' ? 15 : 60 },
    )
  })
})

/** How a byte string goes wrong: somewhere else a byte, a number, a length. */
const damage = fc.oneof(
  fc.record({ kind: fc.constant('byte' as const), at: fc.nat(), byte: fc.integer({ min: 1, max: 255 }) }),
  // Most numbers are below 256: the last byte of eight, after seven zeros.
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('number' as const), at: fc.nat(), byte: fc.nat(16) }) },
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat() }),
  fc.record({ kind: fc.constant('double' as const), at: fc.nat(), byte: fc.nat(80) }),
  fc.record({ kind: fc.constantFrom('content', 'less', 'more', 'longer'), at: fc.nat() }),
)
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never

function damagedBy(d: Damage, { bytes, contents }: SavedHost): SavedHost {
  const at = d.at % bytes.length
  if ('byte' in d) {
    if (d.kind === 'double')
      return { bytes: Buffer.concat([bytes.subarray(0, at + d.byte), bytes.subarray(at)]), contents }
    const other = bytes.slice()
    if (d.kind === 'byte') other[at] ^= d.byte
    else other[(Buffer.from(bytes).indexOf(new Uint8Array(7), at) + 7) % bytes.length] = d.byte
    return { bytes: other, contents }
  }
  if (d.kind === 'cut') return { bytes: bytes.slice(0, at), contents }
  if (d.kind === 'more') return { bytes, contents: [...contents, new Uint8Array(1)] }
  if (d.kind === 'less') return { bytes, contents: contents.slice(1) }
  const [first = new Uint8Array(0), ...others] = contents
  const next = d.kind === 'longer' ? Buffer.concat([first, new Uint8Array(1)]) : first.map((byte) => byte ^ 1)
  return { bytes, contents: contents.length === 0 ? contents : [next, ...others] }
}

describe('what was saved and then changed', () => {
  test('is refused, or is another state or outputs root, or goes on the same', () => {
    const counts = { refused: 0, other: 0, same: 0 }
    fc.assert(
      fc.property(acts(40), fc.array(damage, { minLength: 1, maxLength: 20 }), acts(10), (before, damages, more) => {
        const first = after(before)
        const { state, outputsRoot } = shownBy(first.wasi)
        const saved = first.wasi.save()
        const position = first.position()
        const goOn = (from: SavedHost) =>
          start(sha256, undefined, { saved: from, position, memory: first.guest.memory.buffer })
        for (const d of damages) {
          const changed = damagedBy(d, saved)
          let second: Started
          try {
            second = goOn(changed)
          } catch (error) {
            expect(error).toBeInstanceOf(WasmError)
            expect(error).toMatchObject({ code: 'SNAPSHOT', message: /^The snapshot's host state is damaged: .*\.$/ })
            counts.refused++
            continue
          }
          const shown = shownBy(second.wasi)
          expect(textOf(second.wasi.save())).toBe(textOf(changed))
          const isSame = shown.state === state && shown.outputsRoot === outputsRoot
          counts[isSame ? 'same' : 'other']++
          const control = isSame ? goOn(saved) : undefined
          for (const a of more) {
            const errno = perform(second.guest, a)
            if (control !== undefined) expect(errno).toBe(perform(control.guest, a))
          }
          if (control !== undefined) {
            expect(hex(second.wasi.encodeState())).toBe(hex(control.wasi.encodeState()))
            expect(hex(second.wasi.outputsRoot())).toBe(hex(control.wasi.outputsRoot()))
          }
        }
      }),
      { numRuns: process.env['REPRISE_TESTS'] === 'check' ? 25 : 100 },
    )
    // How many of each is chance; by a commit's few runs nine were seen.
    expect(counts.refused).toBeGreaterThan(0)
    expect(counts.other).toBeGreaterThan(0)
  })
})
