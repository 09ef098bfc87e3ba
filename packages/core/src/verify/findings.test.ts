import { expect, test } from 'vitest'
import { EvidenceError } from '../error.ts'
import { Findings } from './findings.ts'

test('ten of a code are listed, and of more the number, at the end', () => {
  const findings = new Findings()
  const add = (count: number, code: 'BATCH' | 'PCRS'): void => {
    for (let i = 0; i < count; i++) findings.add(code, `line ${i}`, `wrong ${i}`)
  }
  add(10, 'BATCH')
  expect(findings.list()).toHaveLength(10)
  add(1, 'BATCH')
  add(12, 'PCRS')
  const list = findings.list()
  expect(list.slice(20).map(({ code, path, message, severity }) => [code, path, message, severity])).toEqual([
    ['BATCH', '', '1 more findings of this kind', 'refutes'],
    ['PCRS', '', '2 more findings of this kind', 'refutes'],
  ])
  expect(list.slice(8, 12).map(({ code, path }) => [code, path])).toEqual([
    ['BATCH', 'line 8'],
    ['BATCH', 'line 9'],
    ['PCRS', 'line 0'],
    ['PCRS', 'line 1'],
  ])
  for (const { hint } of list) expect(hint).not.toBe('')
})

test('a severity is that of the code, unless another one is given', () => {
  const findings = new Findings()
  findings.add('SELF_ENROLLED', 'a', 'b')
  findings.add('SELF_ENROLLED', 'a', 'b', 'withholds')
  expect(findings.list().map(({ severity }) => severity)).toEqual(['warns', 'withholds'])
})

test('what a decoder threw is a finding, and a fault of ours is none', () => {
  const findings = new Findings()
  findings.addError(new EvidenceError('STRUCTURE', { message: 'no key' }), 'AK_PUBLIC', 'a')
  findings.addError(new EvidenceError('CONTAINER', { message: 'no stream' }), 'AK_PUBLIC', 'a')
  expect(findings.list().map(({ code, message }) => [code, message])).toEqual([
    ['AK_PUBLIC', 'no key'],
    ['CONTAINER', 'no stream'],
  ])
  const ours = new TypeError('undefined is not a function')
  expect(() => findings.addError(ours, 'AK_PUBLIC', 'a')).toThrow(ours)
})
