import { describe, expect, test } from 'vitest'
import type { Attempt, Attestation } from '../record/index.ts'
import type { TpmsClockInfo } from '../tpm/index.ts'
import { AttestationOrder } from './order.ts'
import type { BootFacts, CounterFacts, StatementFacts } from './statements.ts'

const NONE: StatementFacts = { boot: undefined, counter: undefined }

interface Shape {
  readonly firstSeq?: number
  readonly from?: number | null
  readonly host?: number
  readonly bootId?: string | null
  readonly transport?: 'device' | 'swtpm'
}

const attemptsOf = (...shapes: readonly Shape[]): Attempt[] =>
  shapes.map(({ firstSeq = 0, from = null, host = 0, bootId = 'kernel', transport = 'swtpm' }, i) => {
    const environment = { bootId, tpm: { transport } }
    return { attempt: i + 1, environment, firstSeq, from, host } as unknown as Attempt
  })

const at = (clock: number, resetCount = 7, restartCount = 0): TpmsClockInfo => ({
  clock: BigInt(clock),
  resetCount,
  restartCount,
  safe: true,
})

const counter = (clock: TpmsClockInfo, value = 1n): CounterFacts => ({ index: 'aa', value, clock })

const boot = (clock: TpmsClockInfo, more: Partial<BootFacts> = {}): BootFacts => ({
  bootId: 'kernel',
  orderly: false,
  clock,
  counter: counter(clock),
  ...more,
})

interface Step {
  readonly attempt: number
  readonly seq: number
  readonly clock?: TpmsClockInfo | undefined
  readonly told?: Partial<StatementFacts>
}

/** What is wrong with each, with the messages where they tell checks apart. */
function walk(attempts: readonly Attempt[], ...steps: readonly Step[]) {
  const order = new AttestationOrder(attempts)
  const wrong = steps.map(({ attempt, seq, clock, told }) =>
    order
      .check({ attempt, seq } as Attestation, clock, { ...NONE, ...told })
      .map(({ code, message }) => (code === 'ATTESTATION_ORDER' ? message : `${code} ${message}`)),
  )
  const gaps = order.gaps.map(({ message }) => message)
  return { wrong, gaps, changes: order.changes, end: order.end(), signedSeq: order.signedSeq }
}

const wrongOf = (...args: Parameters<typeof walk>): string[][] => walk(...args).wrong
const ONE = attemptsOf({})
const TWO = attemptsOf({}, { firstSeq: 3, from: 2 })

describe('checkpoints', () => {
  test('are signed in their order', () => {
    const good = walk(ONE, { attempt: 1, seq: 0 }, { attempt: 1, seq: 4 })
    expect(good).toMatchObject({ wrong: [[], []], signedSeq: 4, end: [] })
    const same = [
      { attempt: 1, seq: 2 },
      { attempt: 1, seq: 2 },
    ] as const
    expect(wrongOf(ONE, ...same)).toEqual([[], ['checkpoint 2 after checkpoint 2']])
    const back = walk(ONE, { attempt: 1, seq: 2 }, { attempt: 1, seq: 1 })
    expect(back).toMatchObject({ wrong: [[], ['checkpoint 1 after checkpoint 2']], signedSeq: 2 })
    expect(walk(ONE).signedSeq).toBe(-1)
  })

  test('of a later attempt begin where it goes on', () => {
    const first = { attempt: 1, seq: 4 }
    expect(wrongOf(TWO, first, { attempt: 2, seq: 3 })).toEqual([[], []])
    expect(wrongOf(TWO, first, { attempt: 2, seq: 2 })).toEqual([
      [],
      ['checkpoint 2 is before the first one of attempt 2'],
    ])
    expect(walk(TWO, first, { attempt: 2, seq: 3 }).signedSeq).toBe(4)
  })
})

describe('attempts', () => {
  test('follow each other', () => {
    const three = attemptsOf({}, { firstSeq: 1, from: 0 }, { firstSeq: 1, from: 0 })
    expect(wrongOf(three, { attempt: 1, seq: 2 }, { attempt: 3, seq: 2 })).toEqual([
      [],
      ['nothing is signed of attempt 2'],
    ])
    expect(wrongOf(three, { attempt: 2, seq: 2 })).toEqual([
      [
        'nothing is signed of attempt 1',
        'attempt 2 goes on from checkpoint 0, and only those up to -1 were signed before',
      ],
    ])
    expect(wrongOf(three, { attempt: 1, seq: 2 }, { attempt: 2, seq: 2 }, { attempt: 1, seq: 4 })).toEqual([
      [],
      [],
      ['attempt 1 after attempt 2'],
    ])
    expect(wrongOf(three, { attempt: 4, seq: 0 })).toEqual([['attempt 4 is not in the record']])
  })

  test('go on from what was signed', () => {
    expect(wrongOf(TWO, { attempt: 1, seq: 2 }, { attempt: 2, seq: 3 })).toEqual([[], []])
    expect(wrongOf(TWO, { attempt: 1, seq: 1 }, { attempt: 2, seq: 3 })).toEqual([
      [],
      ['attempt 2 goes on from checkpoint 2, and only those up to 1 were signed before'],
    ])
    const fresh = attemptsOf({}, { firstSeq: 0, from: null })
    expect(wrongOf(fresh, { attempt: 1, seq: 1 }, { attempt: 2, seq: 0 })).toEqual([[], []])
  })

  test('have something signed, unless nothing is', () => {
    expect(walk(TWO).end).toEqual([])
    expect(walk(TWO, { attempt: 1, seq: 2 }).end).toEqual(['nothing is signed of attempt 2'])
    expect(walk(TWO, { attempt: 1, seq: 2 }, { attempt: 2, seq: 3 }).end).toEqual([])
  })
})

describe('a clock', () => {
  test('stands or goes on within a power cycle', () => {
    const first = { attempt: 1, seq: 0, clock: at(10) }
    expect(wrongOf(ONE, first, { attempt: 1, seq: 1, clock: at(10) })).toEqual([[], []])
    expect(wrongOf(ONE, first, { attempt: 1, seq: 1, clock: at(9) })).toEqual([[], ['the clock of the TPM went back']])
  })

  test('is held against the last one that could be read', () => {
    const steps = [at(10), undefined, at(9)].map((clock, seq) => ({ attempt: 1, seq, clock }))
    expect(wrongOf(ONE, ...steps)).toEqual([[], [], ['the clock of the TPM went back']])
  })

  test('is one for each host', () => {
    const two = attemptsOf({}, { firstSeq: 1, from: 0, host: 1 }, { firstSeq: 1, from: 0 })
    const { wrong, gaps } = walk(
      two,
      { attempt: 1, seq: 1, clock: at(100) },
      { attempt: 2, seq: 1, clock: at(1, 3) },
      { attempt: 3, seq: 1, clock: at(99) },
    )
    expect(wrong).toEqual([[], [], ['the clock of the TPM went back']])
    expect(gaps).toEqual(
      [2, 3].map((n) => `attempt ${n} began on another host, and nothing shows how the attempt before ended`),
    )
  })
})

test('what became of a host while another one ran is not said besides', () => {
  const three = attemptsOf({}, { firstSeq: 1, from: 0, host: 1 }, { firstSeq: 1, from: 0, bootId: 'another' })
  const walked = (clock: TpmsClockInfo): string[] =>
    walk(
      three,
      { attempt: 1, seq: 1, clock: at(1) },
      { attempt: 2, seq: 1, clock: at(1) },
      { attempt: 3, seq: 1, clock, told: { boot: boot(clock) } },
    ).gaps.map((gap) => gap.split(',')[0])
  const others = ['attempt 2 began on another host', 'attempt 3 began on another host']
  for (const clock of [at(2), at(2, 8), at(2, 9)]) expect(walked(clock)).toEqual(others)
  const untold = walk(
    three,
    { attempt: 1, seq: 1, clock: at(1) },
    { attempt: 2, seq: 1, clock: at(1) },
    { attempt: 3, seq: 1, clock: at(2, 8) },
  )
  expect(untold.gaps).toHaveLength(2)
})

test('nothing is said of a change of hosts after an attestation that could not be read', () => {
  const two = attemptsOf({}, { firstSeq: 1, from: 0, host: 1 })
  const second = { attempt: 2, seq: 1, clock: at(1) }
  expect(walk(two, { attempt: 1, seq: 1 }, second).gaps).toEqual([])
  expect(walk(two, { attempt: 1, seq: 1, clock: at(1) }, second).gaps).toHaveLength(1)
})

describe('another power cycle', () => {
  const first = { attempt: 1, seq: 2, clock: at(100, 7, 1) }

  test('breaks an attempt', () => {
    for (const clock of [at(200, 8), at(200, 7, 2), at(200, 7, 0), at(200, 6)])
      expect(walk(ONE, first, { attempt: 1, seq: 3, clock })).toMatchObject({
        wrong: [[], ['the TPM was reset or restarted within the attempt']],
        gaps: [],
        changes: [],
      })
  })

  test('is a gap between attempts, and none that could be when the counters went back', () => {
    const gap = 'attempt 2 began after its TPM was reset or restarted, and nothing shows how the attempt before ended'
    const second = { attempt: 2, seq: 3 }
    expect(walk(TWO, first, { ...second, clock: at(200, 8) })).toMatchObject({ wrong: [[], []], gaps: [gap] })
    for (const clock of [at(200, 6, 5), at(200, 7, 0)])
      expect(walk(TWO, first, { ...second, clock })).toMatchObject({
        wrong: [[], ['the reset counters of the TPM went back']],
        gaps: [gap],
      })
  })

  test('is told of by a boot statement of that cycle', () => {
    const clock = at(90, 8)
    const told = { boot: boot(at(80, 8)) }
    const { wrong, gaps, changes } = walk(ONE, first, { attempt: 1, seq: 3, clock, told })
    expect([wrong, gaps]).toEqual([[[], []], []])
    expect(changes).toEqual([
      {
        ...{ host: 0, from: { attempt: 1, seq: 2 }, to: { attempt: 1, seq: 3 } },
        ...{ resets: 1, restarts: 0, orderly: false, sameKernel: true },
      },
    ])
    const ofOther = walk(ONE, first, { attempt: 1, seq: 3, clock, told: { boot: boot(at(80, 9)) } })
    expect(ofOther.wrong[1]).toEqual([
      'STATEMENT_CYCLE a statement is of another power cycle than the quote',
      'the TPM was reset or restarted within the attempt',
    ])
    // It cannot tell how a TPM came to a power cycle before.
    const earlier = walk(ONE, first, { attempt: 1, seq: 3, clock: at(200, 6), told: { boot: boot(at(80, 6)) } })
    expect(earlier.wrong[1]).toEqual(['the TPM was reset or restarted within the attempt'])
  })

  test('is a gap where more happened than is told of', () => {
    const more =
      'attempt 2 went on after its TPM was reset more than once, or was restarted since; only the last time is told of'
    const to = (clock: TpmsClockInfo): string[] =>
      walk(TWO, first, { attempt: 2, seq: 3, clock, told: { boot: boot(clock) } }).gaps
    expect([at(200, 8), at(200, 7, 3)].flatMap(to)).toEqual([])
    expect(to(at(200, 9))).toEqual([more])
    expect(to(at(200, 8, 1))).toEqual([more])
  })

  test('lets the clock go back as far as it may', () => {
    const to = (orderly: boolean): string[] =>
      wrongOf(ONE, first, { attempt: 1, seq: 3, clock: at(99, 8), told: { boot: boot(at(9, 8), { orderly }) } })[1]
    expect(to(false)).toEqual([])
    expect(to(true)).toEqual(['the clock of the TPM went back further than the way it went down allows'])
  })
})

describe('kernels', () => {
  const kernels = (from: string | null, to: string | null, clock = at(10)) =>
    walk(
      attemptsOf({ bootId: from }, { firstSeq: 3, from: 2, bootId: to }),
      { attempt: 1, seq: 2, clock: at(10) },
      { attempt: 2, seq: 3, clock },
    )

  test('that change without a reset are a gap', () => {
    const gap =
      'attempt 2 began under another kernel, while its TPM was not reset, and nothing shows how the attempt before ended'
    expect(kernels('a', 'b').gaps).toEqual([gap])
    expect(kernels('a', 'a').gaps).toEqual([])
    expect(kernels(null, 'b').gaps).toEqual([])
    expect(kernels('a', null).gaps).toEqual([])
  })

  test('are told of by the boot statement first', () => {
    const sameKernel = (bootId: string | null, before: string | null = 'a'): unknown =>
      walk(
        attemptsOf({ bootId: before }, { firstSeq: 3, from: 2, bootId: 'b' }),
        { attempt: 1, seq: 2, clock: at(10) },
        { attempt: 2, seq: 3, clock: at(20, 8), told: { boot: boot(at(20, 8), { bootId }) } },
      ).changes[0].sameKernel
    expect([sameKernel('a'), sameKernel('c'), sameKernel(null), sameKernel('a', null)]).toEqual([
      true,
      false,
      false,
      null,
    ])
  })

  test('that go on while their chip is reset are a warning', () => {
    const alone = (transport: 'device' | 'swtpm', bootId: string, clock: TpmsClockInfo): string[] =>
      wrongOf(
        attemptsOf({ transport: 'swtpm' }, { firstSeq: 3, from: 2, transport }),
        { attempt: 1, seq: 2, clock: at(10) },
        { attempt: 2, seq: 3, clock, told: { boot: boot(clock, { bootId }) } },
      )[1].map((each) => each.split(' ')[0])
    expect(alone('device', 'kernel', at(20, 8))).toEqual(['TPM_RESET_ALONE'])
    expect(alone('device', 'other', at(20, 8))).toEqual([])
    expect(alone('swtpm', 'kernel', at(20, 8))).toEqual([])
    expect(alone('device', 'kernel', at(20, 7, 1))).toEqual([])
  })
})

describe('statements', () => {
  const told = (more: Partial<StatementFacts>, before?: TpmsClockInfo): string[] =>
    wrongOf(ONE, ...(before === undefined ? [] : [{ attempt: 1, seq: 0, clock: before }]), {
      attempt: 1,
      seq: 1,
      clock: at(100),
      told: more,
    }).at(-1) ?? []
  const OTHER = ['STATEMENT_CYCLE a statement is of another power cycle than the quote']
  const LATER = ['STATEMENT_CYCLE a statement is later than the quote that carries it']

  test('are of the power cycle of their quote', () => {
    expect(told({ boot: boot(at(100)), counter: counter(at(100), 2n) })).toEqual([])
    expect(told({ boot: boot(at(50, 6)) })).toEqual(OTHER)
    expect(told({ boot: boot(at(50), { counter: counter(at(50, 6)) }) })).toEqual(OTHER)
    expect(told({ counter: counter(at(50, 6)) })).toEqual(OTHER)
  })

  test('are not later than their quote', () => {
    expect(told({ boot: boot(at(101)) })).toEqual(LATER)
    expect(told({ boot: boot(at(50), { counter: counter(at(101)) }) })).toEqual(LATER)
    expect(told({ counter: counter(at(101)) })).toEqual(LATER)
  })

  test('tell of a boot before it is counted', () => {
    const counted = (clock: number): string[] => told({ boot: boot(at(50), { counter: counter(at(clock)) }) })
    expect(counted(50)).toEqual([])
    expect(counted(49)).toEqual(['STATEMENT_CYCLE the boot was counted before it was told of'])
  })

  test('of the counter are not older than the attestation before', () => {
    const older = (clock: number, before: TpmsClockInfo): string[] => told({ counter: counter(at(clock)) }, before)
    expect(older(40, at(40))).toEqual([])
    expect(older(39, at(40))).toEqual(["STATEMENT_CYCLE the attempt's counter is older than the attestation before"])
    expect(older(39, at(40, 6))).toEqual(['the TPM was reset or restarted within the attempt'])
    expect(told({}, at(40))).toEqual([])
  })

  test('count the attempts', () => {
    const order = new AttestationOrder(ONE)
    const count = (seq: number, value: bigint): string[] =>
      order
        .check({ attempt: 1, seq } as Attestation, at(10 + seq), { ...NONE, counter: counter(at(10 + seq), value) })
        .map(({ code }) => code)
    expect([count(0, 4n), count(1, 4n), count(2, 3n)]).toEqual([[], [], ['COUNTER_BACK']])
    expect(order.counts).toEqual([{ host: 0, from: '4', to: '4', others: '0' }])
  })
})
