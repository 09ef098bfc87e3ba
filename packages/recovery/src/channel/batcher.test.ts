import { hex } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { type Proof, proverOf } from './batcher.ts'
import type { HostTpm, RegisterQuote } from './channel.ts'
import { batchRoot, sha256 } from './statement.ts'

interface Quoting {
  readonly tpm: HostTpm
  /** What is being quoted or was, in order. */
  readonly asked: { readonly statement: Uint8Array; readonly pcrs: readonly number[] }[]
  /** Ends the oldest quote that is under way. */
  readonly finish: (error?: Error) => void
}

/** A TPM whose quotes end when they are told to. */
function quoting(): Quoting {
  const asked: Quoting['asked'] = []
  const running: PromiseWithResolvers<RegisterQuote>[] = []
  return {
    asked,
    tpm: {
      ...{ host: 'web-1', akPublic: new Uint8Array() },
      quote(statement, pcrs) {
        asked.push({ statement, pcrs })
        const one = Promise.withResolvers<RegisterQuote>()
        running.push(one)
        return one.promise
      },
    },
    finish(error) {
      const one = running.shift()
      if (error !== undefined) one?.reject(error)
      else one?.resolve({ attest: Uint8Array.of(asked.length), signature: new Uint8Array(), registers: new Map() })
    },
  }
}

const statementOf = (i: number): Uint8Array => sha256(Uint8Array.of(i))
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
const isWanted = (): boolean => true
const pcrs = [4, 7]

describe('the statements that wait', () => {
  test('are covered by one quote each 64, and each leads to its root', async () => {
    const { tpm, asked, finish } = quoting()
    const { prove } = proverOf(tpm)
    expect(proverOf(tpm).prove).toBe(prove)
    const proofs = [prove(statementOf(0), { pcrs, isWanted })]
    await turn()
    for (let i = 1; i < 100; i++) proofs.push(prove(statementOf(i), { pcrs, isWanted }))
    await turn()
    expect(asked).toHaveLength(1)
    for (let quotes = 1; quotes <= 3; quotes++) {
      expect(asked).toHaveLength(quotes)
      finish()
      await turn()
    }
    const made = await Promise.all(proofs)
    expect(made.map(({ place: { count } }) => count)).toEqual([
      1,
      ...Array.from({ length: 64 }, () => 64),
      ...Array.from({ length: 35 }, () => 35),
    ])
    expect(made[0].place.path).toEqual([])
    const roots = made.map(({ place }, i) => hex(batchRoot(statementOf(i), place) ?? new Uint8Array()))
    expect([...new Set(roots)]).toEqual(asked.map(({ statement }) => hex(statement)))
    expect(asked).toHaveLength(3)
  })

  test('are quoted with the registers that each one asks for', async () => {
    const { tpm, asked, finish } = quoting()
    const { prove } = proverOf(tpm)
    const proofs = [[4], [7], [4]].map((some, i) => prove(statementOf(i), { pcrs: some, isWanted }))
    for (let quotes = 0; quotes < 2; quotes++) {
      await turn()
      finish()
    }
    expect((await Promise.all(proofs)).map(({ place: { index, count } }) => [index, count])).toEqual([
      [0, 2],
      [0, 1],
      [1, 2],
    ])
    expect(asked.map((quote) => quote.pcrs)).toEqual([[4], [7]])
  })

  test('take no place when nobody waits for them any more', async () => {
    const { tpm, asked, finish } = quoting()
    const { prove } = proverOf(tpm)
    void prove(statementOf(0), { pcrs, isWanted: () => false })
    const wanted = prove(statementOf(1), { pcrs, isWanted })
    await turn()
    finish()
    expect((await wanted).place).toMatchObject({ index: 0, count: 1 })
    expect(asked).toHaveLength(1)
  })

  test('fail together when the TPM does, and the next ones are tried', async () => {
    const { tpm, finish } = quoting()
    const { prove } = proverOf(tpm)
    const failing = Promise.allSettled([0, 1].map((i) => prove(statementOf(i), { pcrs, isWanted })))
    await turn()
    finish(new Error('the TPM is gone'))
    const settled = await failing
    expect(settled.map((one: PromiseSettledResult<Proof>) => one.status)).toEqual(['rejected', 'rejected'])
    const next = prove(statementOf(2), { pcrs, isWanted })
    await turn()
    finish()
    expect((await next).place.count).toBe(1)
  })
})
