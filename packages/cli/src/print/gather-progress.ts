/** The progress of finding blobs in one line. */
import type { GatherProgress } from '@reprise/runner'
import { bytes, count } from './format.ts'
import { progressLine } from './progress.ts'

export interface GatherProgressLine {
  readonly show: (progress: GatherProgress) => void
  readonly clear: () => void
}

export function gatherProgress(): GatherProgressLine {
  const line = progressLine()
  return {
    clear: () => line.clear(),
    show({ found, wanted, fetchedBytes }) {
      const fetched = fetchedBytes === 0 ? '' : `, ${bytes(fetchedBytes)} fetched`
      line.show(`${found} of ${count(wanted, 'blob')} here${fetched}`)
    },
  }
}
