/** For tests of properties: what refutes one is written down, as a file that the same test plays again. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What fast-check says of a property with one argument. */
export interface Checked {
  readonly failed: boolean
  readonly counterexample: readonly unknown[] | null
}

/**
 * @param kind - Of the vectors that a failure becomes one of: `schedule`, `epochs`.
 * @param report - What fast-check tells of it.
 * @throws Error with the path of a replay file, the smallest case that was found.
 */
export function holdsOrReplay(kind: string, { failed, counterexample }: Checked, report: string | undefined): void {
  if (!failed) return
  const path = join(mkdtempSync(join(tmpdir(), `reprise-${kind}-`)), 'input.json')
  writeFileSync(path, `${JSON.stringify(counterexample?.[0])}\n`)
  const keep = `keep it as vectors/recovery/${kind}-NAME/input.json, with a README.md`
  throw new Error(`${report ?? 'the property does not hold'}\n\nreplay file: ${path}\n${keep}`)
}
