import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { nodeCrypto } from '../crypto.ts'
import { codeSectionBytes, loadExpected, loadRewritten } from './rewritten.ts'

const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]

describe('codeSectionBytes', () => {
  test('is the length of the code section, whatever stands before it', () => {
    const type = [1, 4, 1, 0x60, 0, 0]
    const custom = [0, 0x83, 0x00, 1, 0x78, 0]
    const code = [10, 0xac, 0x02, ...Array<number>(300).fill(0)]
    expect(codeSectionBytes(new Uint8Array([...HEADER, ...type, ...custom, ...code]))).toBe(300)
  })

  test('is 0 for a module without code, however much data it has', () => {
    expect(codeSectionBytes(new Uint8Array([...HEADER, 11, 5, 0, 0, 0, 0, 0]))).toBe(0)
  })
})

describe('a module that begins warm', () => {
  const SECTION = 'metadata.code.compilation_priority'
  const { sha256 } = nodeCrypto
  const wanted = { floats: 'canonical', limits: { memoryPages: 1, stackSlots: 1000 }, program: { sha256: '' } } as const
  const warm = { ...wanted, start: {} }
  // (module (func (export "_start"))): the rewritten one imports what the machine offers.
  const program = Uint8Array.from([
    ...HEADER,
    ...[1, 4, 1, 0x60, 0, 0],
    ...[3, 2, 1, 0],
    ...[7, 10, 1, 6, ...Buffer.from('_start'), 0, 0],
    ...[10, 4, 1, 2, 0, 0x0b],
  ])

  function newContext() {
    const folder = mkdtempSync(join(tmpdir(), 'reprise-rewritten-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    return { folder, sha256 }
  }

  test('keeps once which functions of its own it called first both times', () => {
    const context = newContext()
    const first = loadRewritten(() => program, warm, context)
    const imported = WebAssembly.Module.imports(first.module).length
    first.nameFirstCalls?.([imported + 1, 0, imported, imported])
    const second = loadRewritten(() => program, warm, context)
    second.nameFirstCalls?.([imported + 2, imported + 1, 0])
    const again = loadRewritten(() => program, warm, context)
    expect([second.cached, again.cached, again.nameFirstCalls, again.facts]).toEqual([
      true,
      true,
      undefined,
      first.facts,
    ])
    expect(WebAssembly.Module.customSections(second.module, SECTION)).toEqual([])
    const [content] = WebAssembly.Module.customSections(again.module, SECTION)
    expect([...new Uint8Array(content)]).toEqual([1, imported + 1, 0, 1, 0])
    expect(loadExpected(warm, context)?.nameFirstCalls).toBeUndefined()
    const [name, ...others] = readdirSync(context.folder)
    expect(others).toEqual([])
    const kept = readFileSync(join(context.folder, name))
    for (let i = 0; i < 2; i++) first.nameFirstCalls?.([imported])
    expect(Buffer.compare(readFileSync(join(context.folder, name)), kept)).toBe(0)
  })

  test.each(['[', '{}', '["a", null, [0]]'])(
    'what was called before, damaged to %s, names nothing that was not called',
    (damaged) => {
      const context = newContext()
      const first = loadRewritten(() => program, warm, context)
      const imported = WebAssembly.Module.imports(first.module).length
      first.nameFirstCalls?.([imported])
      const calls = readdirSync(context.folder).find((name) => name.endsWith('.calls')) ?? ''
      writeFileSync(join(context.folder, calls), damaged)
      first.nameFirstCalls?.([imported])
      const again = loadRewritten(() => program, warm, context)
      const [content] = WebAssembly.Module.customSections(again.module, SECTION)
      expect(content === undefined ? [] : [...new Uint8Array(content)]).toEqual(damaged.startsWith('["') ? [0] : [])
    },
  )

  test('is not asked where it begins cold, and names nothing in what is damaged', () => {
    const context = newContext()
    expect(loadRewritten(() => program, wanted, context).nameFirstCalls).toBeUndefined()
    const expected = loadExpected(warm, context)
    expect(loadExpected(wanted, context)?.nameFirstCalls).toBeUndefined()
    const [name] = readdirSync(context.folder)
    const damaged = readFileSync(join(context.folder, name)).fill(0, 40, 41)
    writeFileSync(join(context.folder, name), damaged)
    expected?.nameFirstCalls?.([9])
    expect(Buffer.compare(readFileSync(join(context.folder, name)), damaged)).toBe(0)
    expect(loadRewritten(() => program, warm, context).cached).toBe(false)
  })
})
