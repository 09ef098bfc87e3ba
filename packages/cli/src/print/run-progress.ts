/** The progress of a run in one line. */
import type { RunProgress } from '@reprise/runner'
import { bytes, count, duration, fuel } from './format.ts'
import { type ProgressLine, progressLine } from './progress.ts'

export interface RunProgressLine {
  readonly show: (progress: RunProgress) => void
  readonly clear: ProgressLine['clear']
  readonly giveWay: ProgressLine['giveWay']
}

export function runProgress(): RunProgressLine {
  const line = progressLine()
  let last: { readonly atMs: number; readonly position: bigint } | undefined
  let speed = ''
  return {
    clear: () => line.clear(),
    giveWay: (leavesLineOpen) => line.giveWay(leavesLineOpen),
    show(progress) {
      const atMs = performance.now()
      if (last !== undefined && atMs > last.atMs && progress.position > last.position) {
        speed = `  ${fuel(BigInt(Math.round((Number(progress.position - last.position) * 1000) / (atMs - last.atMs))))}/s`
      }
      last = { atMs, position: progress.position }
      line.show(describe(progress) + speed)
    },
  }
}

const PHASES = { preparing: 'preparing', running: 'running', signing: 'waiting for the TPM' } as const

function describe({ phase, position, checkpoints, unsigned, lagMs, memoryBytes }: RunProgress): string {
  const signed = unsigned <= 0 ? 'all signed' : `${unsigned} not signed yet, ${duration(lagMs)} behind`
  return `${PHASES[phase]}  position ${fuel(position)}  ${count(checkpoints, 'checkpoint')}, ${signed}  memory ${bytes(memoryBytes)}`
}
