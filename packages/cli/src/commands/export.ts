/** `reprise export`: the evidence in the form of other tools. */
import { basename, resolve } from 'node:path'
import { exportRecord, loadRecord } from '@reprise/runner'
import { EXIT_YES } from '../exit.ts'
import { count, safe, shortPath } from '../print/format.ts'

export async function action(options: object, [path = '']: readonly string[]): Promise<number> {
  const { output, json = false } = options as { readonly output?: string; readonly json?: boolean }
  const folder = resolve(output ?? `${basename(path).replace(/\.reprise$/, '')}.tpm2`)
  await using record = await loadRecord(path)
  const attestations = await exportRecord(record, folder)
  if (json)
    process.stdout.write(
      `${JSON.stringify({ schema: 'reprise/export-result/v1', format: 'tpm2', folder, attestations })}\n`,
    )
  else
    process.stdout.write(
      `${count(attestations, 'attestation')} in ${safe(shortPath(folder))}; README.txt there says how to check them\n`,
    )
  return EXIT_YES
}
