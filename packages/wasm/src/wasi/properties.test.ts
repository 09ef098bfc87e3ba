import { createHash } from 'node:crypto'
import { hex, outputsRoot, pagesRoot } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ABIS, Errno, FdFlags, OpenFlags } from './abi.ts'
import type { WasiHost } from './index.ts'
import { CALLS, FIXED, INPUT, INPUTS, NAMES, prepare, start } from './test-calls.ts'
import type { TestGuest } from './test-guest.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())

// Mostly one file, so that what happens to it adds up.
const name = fc.oneof({ weight: 3, arbitrary: fc.constant('a') }, fc.constantFrom(...NAMES))
/** Near the boundaries of pages. */
const size = fc.oneof(fc.nat(20), fc.nat(20_000), fc.constantFrom(4095, 4096, 4097, 8192))
const step = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), name, at: size, length: size, byte: fc.nat(255) }),
  fc.record({ kind: fc.constant('append' as const), name, length: size, byte: fc.nat(255) }),
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('resize' as const), name, length: size }) },
  fc.record({ kind: fc.constant('empty' as const), name }),
  fc.record({ kind: fc.constant('rename' as const), name, to: name }),
  fc.constant({ kind: 'rename' as const, name: 'd', to: 'e' }),
  fc.record({ kind: fc.constant('unlink' as const), name }),
  fc.record({ kind: fc.constant('print' as const), length: fc.nat(5000), byte: fc.nat(255) }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('measure' as const) }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** The simple model: what every path holds. */
function expectContents(files: Map<string, Uint8Array>, s: Step): void {
  if (s.kind === 'print' || s.kind === 'measure') return
  if (s.name === FIXED || (s.kind === 'rename' && s.to === FIXED)) return
  const before = files.get(s.name)
  if (s.kind === 'unlink') files.delete(s.name)
  else if (s.kind === 'empty') files.set(s.name, new Uint8Array(0))
  else if (s.kind === 'rename') {
    if (before === undefined || s.name === s.to) return
    files.set(s.to, before)
    files.delete(s.name)
  } else {
    const old = before ?? new Uint8Array(0)
    const at = s.kind === 'append' ? old.length : s.kind === 'write' ? s.at : 0
    const end = s.kind === 'resize' ? s.length : s.length === 0 ? old.length : Math.max(old.length, at + s.length)
    const content = new Uint8Array(end)
    content.set(old.subarray(0, end))
    if (s.kind !== 'resize') content.fill(s.byte, at, at + s.length)
    files.set(s.name, content)
  }
}

function apply(wasi: WasiHost, guest: TestGuest, s: Step): void {
  const withFile = (use: (fd: number) => void, flags = 0, fdFlags = 0) => {
    if (s.kind === 'print' || s.kind === 'measure') return
    const { errno, value: fd } = guest.open(s.name, { flags: OpenFlags.CREAT | flags, fdFlags })
    expect(errno).toBe(s.name === FIXED ? Errno.ROFS : Errno.SUCCESS)
    if (fd === undefined) return
    use(fd)
    expect(guest.close(fd).errno).toBe(0)
  }
  switch (s.kind) {
    case 'write':
      return withFile((fd) => guest.write(fd, new Uint8Array(s.length).fill(s.byte), BigInt(s.at)))
    case 'append':
      return withFile((fd) => guest.write(fd, new Uint8Array(s.length).fill(s.byte)), 0, FdFlags.APPEND)
    case 'resize':
      return withFile((fd) => guest.setSize(fd, BigInt(s.length)))
    case 'empty':
      return withFile(() => {}, OpenFlags.TRUNC)
    case 'rename':
      return void guest.rename(s.name, s.to)
    case 'unlink':
      return void guest.unlink(s.name)
    case 'print':
      return void guest.write(1, new Uint8Array(s.length).fill(s.byte))
    case 'measure':
      wasi.encodeState()
      wasi.outputsRoot()
  }
}

describe('any sequence of file operations', () => {
  test('leaves the contents of a simple model, and roots that do not depend on when they were measured', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), (steps) => {
        const measured = start(sha256)
        const unmeasured = start(sha256)
        const files = new Map(INPUTS.map(({ path, bytes }) => [path, bytes]))
        let printed = 0
        for (const s of steps) {
          expectContents(files, s)
          if (s.kind === 'print') printed += s.length
          apply(measured.wasi, measured.guest, s)
          if (s.kind !== 'measure') apply(unmeasured.wasi, unmeasured.guest, s)
        }
        const { wasi } = measured
        const outputs = new Map(wasi.outputs().map(({ path, read }) => [path, read()]))
        expect(outputs.get('/dev/stdout')?.length).toBe(printed)
        for (const path of NAMES) {
          const content = files.get(path)
          const same =
            INPUTS.some((input) => input.path === path) && content !== undefined && Buffer.compare(content, INPUT) === 0
          const output = outputs.get(path)
          if (same || content === undefined) expect(output).toBeUndefined()
          else expect(output !== undefined && Buffer.compare(output, content)).toBe(0)
        }
        expect(wasi.removed()).toEqual(files.has('d/input') ? [] : ['d/input'])
        const leaves = [...outputs].map(([path, content]) => ({
          path,
          lengthBytes: content.length,
          pagesRoot: pagesRoot(content, sha256),
        }))
        expect(hex(wasi.outputsRoot())).toBe(hex(outputsRoot(leaves, sha256)))
        expect(hex(unmeasured.wasi.outputsRoot())).toBe(hex(wasi.outputsRoot()))
        expect(hex(unmeasured.wasi.encodeState())).toBe(hex(wasi.encodeState()))
      }),
      { numRuns: process.env['REPRISE_TESTS'] === 'check' ? 40 : 150 },
    )
  })
})

/** Signed, as WebAssembly passes it: small numbers (descriptors, flags, lengths), addresses, and anything. */
const i32 = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 9 }) },
  { weight: 2, arbitrary: fc.constantFrom(64, 1024, 2048, 65_528, 65_536, -1, -8) },
  fc.integer(),
)
const i64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 300n }),
  fc.constantFrom(-1n, (1n << 28n) - 1n, (1n << 53n) - 1n, (1n << 63n) - 1n, -(1n << 63n)),
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
)
const anyCall = fc
  .constantFrom(...CALLS)
  .chain(([name, parameters]) =>
    fc.tuple(fc.constant(name), fc.tuple(...parameters.split('').map((letter) => (letter === 'I' ? i64 : i32)))),
  )

describe('any call with any parameters', () => {
  test.each(ABIS)('$module: answers with an errno, and twice the same', ({ module }) => {
    fc.assert(
      fc.property(fc.array(anyCall, { minLength: 5, maxLength: 60 }), (calls) => {
        const both = [start(sha256, module), start(sha256, module)] as const
        for (const { guest } of both) prepare(guest)
        for (const [name, parameters] of calls) {
          const [first, second] = both.map(({ guest }) => guest.call(name, ...parameters))
          expect(first).toBeGreaterThanOrEqual(0)
          expect(first).toBeLessThanOrEqual(76)
          expect(second).toBe(first)
        }
        const [a, b] = both
        expect(Buffer.compare(new Uint8Array(a.guest.memory.buffer), new Uint8Array(b.guest.memory.buffer))).toBe(0)
        expect(hex(a.wasi.encodeState())).toBe(hex(b.wasi.encodeState()))
        expect(hex(a.wasi.outputsRoot())).toBe(hex(b.wasi.outputsRoot()))
      }),
      { numRuns: process.env['REPRISE_TESTS'] === 'check' ? 20 : 60 },
    )
  })
})
