/** A script does the same whether Python starts warm or cold, byte for byte; what differs is in docs/limits.md. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBlobStore } from '../../blobs/index.ts'
import { CASES } from './python-cases.ts'
import { warmAndCold, type Place } from './python-check.ts'

let place: Place

beforeAll(async () => {
  const home = await mkdtemp(join(tmpdir(), 'reprise-warm-'))
  place = { home, store: await openBlobStore(home) }
})
afterAll(() => rm(place.home, { recursive: true, force: true }))

describe('a script that starts warm', () => {
  test.each(CASES)('does what it does cold: $name', async (one) => {
    const { warm, cold, inWarm, inCold } = await warmAndCold(place, one)
    expect(warm.start?.kind).toBe('warm')
    expect(cold.start).toBeUndefined()
    expect(inWarm).toEqual(inCold)
    expect(inCold.texts['/dev/stdout'] + inCold.texts['/dev/stderr'] + inCold.end).not.toBe('exited 0')
  })
})
