import { createHash } from 'node:crypto'
import type { OutcomeOutput } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { diffBytes, diffOutputs, type OutputPlace, type OutputSet } from './outputs.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const diffText = (a: string, b: string, path = 'o.txt'): OutputPlace | undefined =>
  diffBytes(bytesOf(a), bytesOf(b), path)

function setOf(files: Readonly<Record<string, string>>, readable = true): OutputSet {
  const outputs = Object.entries(files).map(([path, text]): OutcomeOutput => ({
    path,
    length: bytesOf(text).length,
    pages: '',
    sha256: createHash('sha256').update(text).digest('hex'),
  }))
  return { outputs, read: (path) => Promise.resolve(readable ? bytesOf(files[path]) : undefined) }
}

describe('diffOutputs', () => {
  test('answers for every path of either run', async () => {
    const a = setOf({ same: 'x', gone: 'x', other: 'x 1' })
    const b = setOf({ other: 'x 2', same: 'x', new: 'x' })
    expect(await diffOutputs(a, b)).toEqual([
      { path: 'gone', kind: 'only in a' },
      { path: 'new', kind: 'only in b' },
      { path: 'other', kind: 'differs', at: { offset: 2, line: 1, column: 3, a: '1', b: '2', context: 'x 1' } },
      { path: 'same', kind: 'equal' },
    ])
  })

  test('says why it cannot say where', async () => {
    const [a, b] = [setOf({ o: '1' }), setOf({ o: '2' }, false)]
    expect(await diffOutputs(a, b)).toEqual([
      { path: 'o', kind: 'differs', at: null, why: 'the bytes are not at hand' },
    ])
    const large: OutputSet = { outputs: [{ ...a.outputs[0], length: 2 ** 40 }], read: a.read }
    expect(await diffOutputs(large, b)).toEqual([
      { path: 'o', kind: 'differs', at: null, why: '1099511627776 bytes; at most 268435456 are compared' },
    ])
  })
})

describe('diffBytes', () => {
  test('names the cell of a table by its column', () => {
    expect(diffText('id,mean\n1,"0.5"\n2,0.1234\n', 'id,mean\n1,"0.5"\n2,0.1250\n', 'r.csv')).toEqual({
      offset: 22,
      line: 3,
      column: 7,
      a: '0.1234',
      b: '0.1250',
      context: 'cell 2 (mean) of 2',
    })
    expect(diffText('a\tb "c"\n', 'a\tb "d"\n', 'r.tsv')).toMatchObject({ a: 'b "c"', context: 'cell 2 of 2' })
    expect(diffText('"x,y",1\n', '"x,z",1\n', 'r.csv')).toMatchObject({ a: 'x,y', b: 'x,z', context: 'cell 1 of 2' })
    expect(diffText('h,i\n1,2\n', 'h,i\n1,2,3\n', 'r.csv')).toMatchObject({ line: 2, a: '', b: ',3' })
  })

  test('shows the whole value, not the digit that differs', () => {
    expect(diffText('mean = 0.1234;\n', 'mean = 0.1239;\n')).toMatchObject({ a: '0.1234', b: '0.1239', column: 13 })
    expect(diffText('{"a":10}', '{"a":12}')).toMatchObject({ a: '10', b: '12' })
  })

  test('counts columns in characters', () => {
    expect(diffText('a\n😀é=1\n', 'a\n😀é=2\n')).toMatchObject({ offset: 9, line: 2, column: 4, a: '1', b: '2' })
    expect(diffText('😀', '😁')).toMatchObject({ offset: 3, line: 1, column: 1, a: '😀', b: '😁' })
  })

  test('shows what is missing at an end, and differing line ends as bytes', () => {
    expect(diffText('a b', 'a')).toMatchObject({ offset: 1, a: ' b', b: '' })
    expect(diffText('a\n', 'a')).toMatchObject({ offset: 1, line: 1, column: 2, a: '0a', b: '' })
    expect(diffText('a\r\nb', 'a\nb')).toMatchObject({ offset: 1, a: '0d 0a 62', b: '0a 62' })
    expect(diffText('a\nb', 'a\nc')).toMatchObject({ line: 2, a: 'b', b: 'c', context: 'b' })
  })

  test('shows other bytes in hex', () => {
    const a = Uint8Array.of(0x89, 0x50, 0x00, 0x01, 0x02)
    const b = Uint8Array.of(0x89, 0x50, 0x00, 0x03)
    expect(diffBytes(a, b, 'p.png')).toEqual({ offset: 3, a: '01 02', b: '03', context: 'after 89 50 00' })
    expect(diffBytes(a.subarray(2), b, 'p.png')).toMatchObject({ offset: 0, context: 'at the start' })
  })

  test('long lines are looked at near the difference only', () => {
    const long = '€'.repeat(100_000)
    const found = diffText(`${long} 1 ${long}`, `${long} 2 ${long}`, 'o.csv')
    expect(found).toMatchObject({ offset: 300_001, line: 1, a: '1', b: '2' })
  })

  test('any two different files differ at the first byte that does', () => {
    const bytes = fc.uint8Array({ max: 255, maxLength: 40 })
    const text = fc.string({ unit: 'binary', maxLength: 20 }).map(bytesOf)
    const file = fc.oneof(bytes, text)
    fc.assert(
      fc.property(file, file, file, fc.constantFrom('o', 'o.csv'), (head, a, b, path) => {
        const [left, right] = [Buffer.concat([head, a]), Buffer.concat([head, b])]
        const found = diffBytes(left, right, path)
        expect(found === undefined).toBe(left.equals(right))
        if (found === undefined) return
        const first = [...left, ...right].findIndex((_, at) => left[at] !== right[at])
        expect(found.offset).toBe(first)
        expect(found.a).not.toBe(found.b)
      }),
    )
  })
})
