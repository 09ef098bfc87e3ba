/** NV indexes in swtpm. */

import { TPMA_NV, concat, equal, utf8 } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hash } from '../hashing.ts'
import { NvExtend, NvUndefineSpace, NvWrite, openNvIndex, OWNER, readNv } from '../index.ts'
import { testTpm, type TestTpm } from '../software/testing.ts'
import { defineNv } from '../policy/testing.ts'

let host: TestTpm
const execute: TestTpm['tpm']['execute'] = (command, options) => host.tpm.execute(command, options)
beforeAll(async () => {
  host = await testTpm()
})
afterAll(() => host.dispose())

describe('an NV index', () => {
  test('of kind EXTEND is extended like a register', async () => {
    await defineNv(host.tpm, 0x01800203, { attributes: TPMA_NV.EXTEND, dataSize: 32 })
    await execute(
      NvExtend({ authHandle: OWNER, nvIndex: await openNvIndex(host.tpm, 0x01800203), data: utf8('event') }),
    )
    const nvIndex = await openNvIndex(host.tpm, 0x01800203)
    const value = await readNv(host.tpm, { authHandle: OWNER, nvIndex })
    expect(equal(value, hash('sha256', concat(new Uint8Array(32), utf8('event'))))).toBe(true)
    await execute(NvUndefineSpace({ authHandle: OWNER, nvIndex }))
  })

  test('longer than one answer is written and read in pieces', async () => {
    const data = Uint8Array.from({ length: 1500 }, (_, i) => i & 0xff)
    let nvIndex = await defineNv(host.tpm, 0x01800204, { dataSize: data.length })
    for (let offset = 0; offset < data.length; offset += 500) {
      await execute(NvWrite({ authHandle: OWNER, nvIndex, data: data.subarray(offset, offset + 500), offset }))
      nvIndex = await openNvIndex(host.tpm, 0x01800204)
    }
    expect(equal(await readNv(host.tpm, { authHandle: OWNER, nvIndex }), data)).toBe(true)
    await execute(NvUndefineSpace({ authHandle: OWNER, nvIndex }))
  })
})
