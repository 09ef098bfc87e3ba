import { expect, test } from 'vitest'
import { Secret } from '../../sealing/secret.ts'
import { newestKeys } from './drawing.ts'

test('a generation keeps the key of the credentials and those of the 63 newest images', () => {
  const versions = [70, 0, ...Array.from({ length: 69 }, (_, i) => i + 1)]
  const kept = newestKeys(versions.map((version) => ({ version, key: Secret.random(32) })))
  expect(kept.map(({ version }) => version)).toEqual([0, ...Array.from({ length: 63 }, (_, i) => i + 8)])
  expect(newestKeys(kept)).toEqual(kept)
})
