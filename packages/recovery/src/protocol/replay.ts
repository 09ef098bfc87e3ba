/** For tests of properties: what refutes one is written down, as a file that the same test plays again. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'

export interface Replayed<T> {
  /** Of the vectors that it becomes one of: `schedule`, `epochs`. */
  readonly kind: string
  readonly cases: fc.Arbitrary<T>
  /** Throws when the property does not hold. */
  readonly play: (input: T) => void
  readonly numRuns: number
}

/** @throws Error with the path of a replay file, the smallest case that was found. */
export function assertWithReplay<T>({ kind, cases, play, numRuns }: Replayed<T>): void {
  const details = fc.check(
    fc.property(cases, (input) => {
      play(input)
    }),
    { numRuns },
  )
  if (!details.failed) return
  const found = details.counterexample?.[0]
  const path = join(mkdtempSync(join(tmpdir(), `reprise-${kind}-`)), 'input.json')
  writeFileSync(path, `${JSON.stringify(found)}\n`)
  const report = fc.defaultReportMessage(details) ?? 'the property does not hold'
  throw new Error(
    `${report}\n\nreplay file: ${path}\nkeep it as vectors/recovery/${kind}-NAME/input.json, with a README.md`,
  )
}
