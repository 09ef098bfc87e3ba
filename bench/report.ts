/** The answer of a benchmark run: as one JSON document, and as tables for a terminal. */

import { cpus, loadavg, machine, platform, release, totalmem } from 'node:os'
import { REPRISE_VERSION } from '../packages/runner/src/version.ts'
import { judge } from './goals.ts'
import type { Absent, Row } from './harness.ts'

export interface Machine {
  readonly architecture: string
  readonly cpu: string
  readonly cpus: number
  readonly kernel: string
  /** Over one minute, before the first measurement: a busy machine measures badly. */
  readonly load: number
  readonly memoryBytes: number
  readonly node: string
  readonly platform: string
  readonly reprise: string
  readonly v8: string
  readonly v8Flags: readonly string[]
}

export function machineFacts(): Machine {
  return {
    architecture: machine(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cpus: cpus().length,
    kernel: release(),
    load: loadavg()[0],
    memoryBytes: totalmem(),
    node: process.versions.node,
    platform: platform(),
    reprise: REPRISE_VERSION,
    v8: process.versions.v8,
    v8Flags: process.execArgv,
  }
}

export interface BenchResult {
  readonly schema: 'reprise/bench-result/v1'
  readonly machine: Machine
  readonly quick: boolean
  readonly rows: readonly Row[]
  /** Figures by key; see goals.ts. */
  readonly summary: Readonly<Record<string, number>>
  readonly absent: readonly Absent[]
}

/** The same for people. */
export function printResult({ machine, quick, rows, summary, absent }: BenchResult): string {
  const sections = [
    `${machine.cpu}, ${machine.cpus} CPUs, ${machine.platform} ${machine.kernel}, Node ${machine.node}, load ${shown(machine.load)}${quick ? ', quick' : ''}`,
    table([
      ['', 'median', 'unit', 'baseline', 'ratio', 'min to max', 'runs'],
      ...rows.map((row) => [
        `${row.group}.${row.name}`,
        shown(row.value),
        row.unit,
        row.baseline === null ? '' : shown(row.baseline),
        row.ratio === null ? '' : shown(row.ratio),
        `${shown(row.min)} to ${shown(row.max)}`,
        String(row.runs),
      ]),
    ]),
    table(Object.entries(summary).map(([key, value]) => [key, shown(value), judge(key, value)])),
    table(absent.map(({ group, name, why }) => [`${group}.${name}`, `not measured: ${why}`])),
  ]
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`
}

function shown(value: number): string {
  if (value === 0 || Math.abs(value) >= 1000) return String(Math.round(value))
  return String(Number(value.toPrecision(3)))
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
