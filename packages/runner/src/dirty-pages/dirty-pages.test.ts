/** Without a scanner; with one, and against the comparison: test/dirty-pages. */
import { PAGE_BYTES } from '@reprise/core'
import { pagesDiffer } from '@reprise/wasm'
import { describe, expect, test, vi } from 'vitest'
import { DirtyPages, KERNEL_BYTES_MIN, type DirtyPagesOptions } from './dirty-pages.ts'
import type { DirtyPagesMethod } from './method.ts'
import { dirtyPagesChoice } from './start.ts'

function created(choice: DirtyPagesOptions['choice']) {
  const methods: DirtyPagesMethod[] = []
  const wantScanner = vi.fn()
  const dirtyPages = new DirtyPages({
    choice,
    differs: pagesDiffer,
    wantScanner,
    onMethod: (method) => void methods.push(method),
  })
  const memory = new Uint8Array(4 * PAGE_BYTES)
  const shadow = new Uint8Array(memory.length)
  const taken = (page: number): number[] => {
    memory[page * PAGE_BYTES]++
    return [...dirtyPages.take(memory, shadow)].flatMap((part) => [...part])
  }
  return { dirtyPages, methods, wantScanner, taken }
}

describe('DirtyPages', () => {
  test('wants a scanner once, when the memory is large', () => {
    const { dirtyPages, wantScanner } = created('auto')
    dirtyPages.notice(KERNEL_BYTES_MIN - PAGE_BYTES)
    expect(wantScanner).not.toHaveBeenCalled()
    dirtyPages.notice(KERNEL_BYTES_MIN)
    dirtyPages.notice(2 * KERNEL_BYTES_MIN)
    expect(wantScanner).toHaveBeenCalledOnce()
  })

  test.each([
    ['none can be had', 'there is no compiler', /^there is no compiler$/],
    ['it is not there any more', 2 ** 22 + 1, /ENOENT/],
  ])('compares when %s, and says why', (_, scanner, why) => {
    const { dirtyPages, methods, taken } = created('auto')
    expect(taken(1)).toEqual([1])
    dirtyPages.attach(scanner)
    expect(taken(2)).toEqual([2])
    expect(methods).toEqual([{ method: 'compare', why: expect.stringMatching(why) }])
  })

  test('fails where the kernel has to be asked', () => {
    const { dirtyPages } = created('kernel')
    expect(() => dirtyPages.attach('there is no compiler')).toThrow('there is no compiler')
  })

  test('never asks when it must not', () => {
    const { dirtyPages, methods, wantScanner, taken } = created('compare')
    dirtyPages.notice(KERNEL_BYTES_MIN)
    expect(taken(3)).toEqual([3])
    expect(wantScanner).not.toHaveBeenCalled()
    expect(methods).toEqual([{ method: 'compare', why: 'it was asked for' }])
  })
})

test('REPRISE_DIRTY_PAGES is one of three words', () => {
  try {
    expect(dirtyPagesChoice()).toBe('auto')
    vi.stubEnv('REPRISE_DIRTY_PAGES', 'compare')
    expect(dirtyPagesChoice()).toBe('compare')
    vi.stubEnv('REPRISE_DIRTY_PAGES', 'both')
    expect(() => dirtyPagesChoice()).toThrow('REPRISE_DIRTY_PAGES=both means nothing')
  } finally {
    vi.unstubAllEnvs()
  }
})
