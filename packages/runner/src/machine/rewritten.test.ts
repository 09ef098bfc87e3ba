import { describe, expect, test } from 'vitest'
import { codeSectionBytes } from './rewritten.ts'

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
