import { describe, expect, test } from 'vitest'
import { timeCommand } from './child.ts'
import { Bench, geomean, median } from './harness.ts'
import { printResult, machineFacts } from './report.ts'

const newBench = (quick = false): Bench => new Bench({ quick, progress: () => {} })

describe('Bench', () => {
  test('takes alternating pairs after a sample each that does not count', async () => {
    const order: string[] = []
    const bench = newBench()
    const row = await bench.figure({
      name: 'f',
      unit: 's',
      subject: () => order.push('s'),
      baseline: () => order.push('b'),
      summary: { key: 'k', of: 'ratio' },
    })
    expect(order.join('')).toBe('bsbssbbssbbs')
    expect(row).toMatchObject({ runs: 5, value: 8, median: 8, min: 4, max: 12, baseline: 7, ratio: 8 / 7 })
    expect(bench.summary).toEqual({ k: 8 / 7 })
  })

  test('a figure without a baseline has no ratio, and a summary of it is absent', async () => {
    const bench = newBench(true)
    const row = await bench.figure({ name: 'f', unit: 's', subject: () => 1, summary: { key: 'k', of: 'ratio' } })
    expect(row).toMatchObject({ baseline: null, ratio: null, runs: 3 })
    expect(bench.summary).toEqual({})
  })

  test('what was measured stays when the rest is interrupted', async () => {
    const interruption = new AbortController()
    const bench = new Bench({ quick: true, progress: () => {}, signal: interruption.signal })
    const measure = async (bench: Bench): Promise<void> => {
      await bench.figure({ name: 'f', unit: 's', subject: () => 1 })
      await bench.figure({
        name: 'cut',
        unit: 's',
        subject: () => {
          interruption.abort()
          return 1
        },
      })
    }
    expect(await bench.run({ name: 'g', about: '', measure })).toBe(false)
    expect(await bench.run({ name: 'h', about: '', measure })).toBe(false)
    expect(bench.rows.map(({ name }) => name)).toEqual(['f'])
    expect(bench.absent.map(({ group, why }) => `${group} ${why}`)).toEqual(['g interrupted', 'h interrupted'])
  })

  test('a group that fails is absent with its reason, and keeps what it had', async () => {
    const bench = newBench()
    const measure = (bench: Bench): Promise<void> => {
      bench.add({ name: 'f', unit: 's', samples: [1] })
      return Promise.reject(new Error('no tool'))
    }
    expect(await bench.run({ name: 'g', about: '', measure })).toBe(false)
    expect(bench.absent).toEqual([{ group: 'g', name: '*', why: 'no tool' }])
    expect(bench.rows).toHaveLength(1)
  })
})

test('median and geomean are what they are called', () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5])
  expect(geomean([1, 4])).toBeCloseTo(2)
  expect(() => median([])).toThrow('no samples')
  expect(() => geomean([])).toThrow('no values')
})

test('a table shows every row, figure and absence', () => {
  const bench = newBench()
  bench.add({
    name: 'f',
    unit: 's',
    samples: [0.12345],
    baselines: [0.1],
    summary: { key: 'start.version.cpuS', of: 'value' },
  })
  bench.notMeasured('x', 'no tool')
  const { rows, summary, absent } = bench
  const result = {
    schema: 'reprise/bench-result/v1',
    machine: machineFacts(),
    quick: true,
    rows,
    summary,
    absent,
  } as const
  expect(printResult(result).split('\n').slice(2)).toEqual([
    '    median  unit  baseline  ratio  min to max      runs',
    '.f  0.123   s     0.1       1.23   0.123 to 0.123  1',
    '',
    'start.version.cpuS  0.123  goal ≤ 0.15: reached',
    '',
    '.x  not measured: no tool',
    '',
  ])
})

describe('timeCommand', () => {
  test('adds up the CPU time of a command and its children', async () => {
    const { wallS, cpuS } = await timeCommand(
      ['sh', '-c', 'sh -c "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"'],
      {
        cwd: '.',
      },
    )
    expect(cpuS).toBeGreaterThan(0)
    expect(wallS).toBeGreaterThan(0)
  })

  test('tells how a command failed', async () => {
    await expect(timeCommand(['sh', '-c', 'echo why >&2; exit 7'], { cwd: '.' })).rejects.toThrow('ends with 7: why')
  })
})
