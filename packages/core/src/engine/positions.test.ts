import { describe, expect, test } from 'vitest'
import { NEVER, nextGridPosition, stride } from './index.ts'

const grid = { kind: 'grid', fuel: '1000', strideBytes: 64, strideMax: 1024 } as const

describe('stride', () => {
  test('doubles with each doubling of the memory beyond the first step, up to its maximum', () => {
    const strides = [0, 1, 64, 65, 128, 129, 256, 65536, 65537, 1e9].map((bytes) => stride(grid, bytes))
    expect(strides).toEqual([1, 1, 1, 2, 2, 4, 4, 1024, 1024, 1024])
  })
})

describe('nextGridPosition', () => {
  test('is the next multiple, never the position itself', () => {
    expect([0n, 999n, 1000n, 1001n, 5999n].map((p) => nextGridPosition(grid, p, 0))).toEqual([
      1000n,
      1000n,
      2000n,
      2000n,
      6000n,
    ])
  })

  test('keeps to multiples of the stretched step when the memory has grown', () => {
    expect(nextGridPosition(grid, 1000n, 129)).toBe(4000n)
    expect(nextGridPosition(grid, 4000n, 129)).toBe(8000n)
  })

  test('never comes under the other policies', () => {
    expect(nextGridPosition({ kind: 'none' }, 5n, 1)).toBe(NEVER)
    expect(nextGridPosition({ kind: 'outputs' }, 5n, 1)).toBe(NEVER)
  })
})
