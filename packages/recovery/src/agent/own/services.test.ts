import { expect, test } from 'vitest'
import type { Generation } from '../../sealing/generations.ts'
import { JUDGEMENTS } from './roots.ts'
import { isFor } from './services.ts'

const of = (mode: Generation['mode']): Generation => ({ mode }) as Generation

test('an image for outages is loaded after one, by the word of operators, and where nobody can judge', () => {
  const loaded = [...JUDGEMENTS, null].filter((judgement) => isFor('outage', of('quorum'), judgement))
  expect(loaded).toEqual(['recover', 'operators'])
  expect(isFor('outage', of('tpm-only'), null)).toBe(true)
})

test('one for every release is loaded after each', () => {
  for (const judgement of [...JUDGEMENTS, null]) expect(isFor('always', of('quorum'), judgement)).toBe(true)
})
