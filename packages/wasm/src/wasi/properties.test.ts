import { createHash } from 'node:crypto'
import { hex, outputsRoot, pagesRoot } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ABIS } from './abi.ts'
import { anyCall, apply, FIXED, INPUT, INPUTS, NAMES, prepare, start, step, type Step } from './test-sequences.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())

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
      { numRuns: 150 },
    )
  })
})

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
      { numRuns: 60 },
    )
  })
})
