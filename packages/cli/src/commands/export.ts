/** `reprise export`: the evidence in the form of other tools, or a run that left no record as one. */
import { basename, resolve } from 'node:path'
import { exportCel, exportRecord, exportRun, findRun, loadRecord, RunnerError, type AttachLevel } from '@reprise/runner'
import { createContext, openStore } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { advise, bytes, count, safe, shortPath } from '../print/format.ts'
import { isRunName } from '../run-name.ts'
import { freeRecordPath } from '../print/run-result.ts'

interface ExportOptions {
  readonly format: 'tpm2' | 'record' | 'cel'
  readonly attempt?: number
  readonly output?: string
  readonly attach: AttachLevel
  readonly json?: boolean
}

export async function action(options: object, [name = '']: readonly string[]): Promise<number> {
  const given = options as ExportOptions
  if (given.format === 'cel') return await toCel(given, name)
  return given.format === 'tpm2' ? await toTpm2(given, name) : await toRecord(given, name)
}

async function toTpm2({ output, json = false }: ExportOptions, path: string): Promise<number> {
  const folder = resolve(output ?? `${basename(path).replace(/\.reprise$/, '')}.tpm2`)
  await using record = await loadRecord(path)
  const attestations = await exportRecord(record, folder)
  const hosts = record.document.hosts.length
  const readme =
    hosts === 1 ? 'README.txt there says' : `one folder for each of ${hosts} hosts; README.txt in each says`
  if (json)
    process.stdout.write(
      `${JSON.stringify({ schema: 'reprise/export-result/v1', format: 'tpm2', folder, attestations })}\n`,
    )
  else
    process.stdout.write(
      `${count(attestations, 'attestation')} in ${safe(shortPath(folder))}; ${readme} how to check them\n`,
    )
  return EXIT_YES
}

async function toCel({ output, attempt, json = false }: ExportOptions, path: string): Promise<number> {
  await using record = await loadRecord(path)
  const number = attempt ?? record.document.attempts.length
  const file = resolve(output ?? `${basename(path).replace(/\.reprise$/, '')}.cel.json`)
  const records = await exportCel(record, number, file)
  if (json) {
    const document = { schema: 'reprise/export-result/v1', format: 'cel', file, attempt: number, records }
    process.stdout.write(`${JSON.stringify(document)}\n`)
  } else
    process.stdout.write(
      `${count(records, 'record')} in ${safe(shortPath(file))}, of attempt ${number}: what the host says; reprise verify holds it against the quotes\n`,
    )
  return EXIT_YES
}

async function toRecord({ output, attach, json = false }: ExportOptions, name: string): Promise<number> {
  if (!isRunName(name)) {
    throw new RunnerError('USAGE', {
      message: `${JSON.stringify(name)} names no run of this host`,
      hint: 'give the beginning of a run id, at least four digits, or the word last',
    })
  }
  const context = createContext()
  const run = await findRun(context.home, name)
  const recordPath = output === undefined ? freeRecordPath(run.slice(0, 8)) : resolve(output)
  const store = await openStore(context)
  const exported = await exportRun({ home: context.home, run, store, recordPath, attach })
  const { checkpointCount: checkpoints, attestationCount: attestations, signedSeq, ended } = exported.run
  if (exported.isGoingOn)
    advise('the run is still going on here; the record shows it up to now, and going on from it elsewhere makes a fork')
  if (json) {
    const document = { schema: 'reprise/export-result/v1', format: 'record', run, record: recordPath, attestations }
    process.stdout.write(`${JSON.stringify({ ...document, checkpoints, signedCheckpoints: signedSeq + 1 })}\n`)
    return EXIT_YES
  }
  const path = safe(shortPath(recordPath))
  process.stdout.write(
    `${path}   ${bytes(exported.recordBytes)}, ${count(checkpoints, 'checkpoint')}, ${count(attestations, 'attestation')}\n`,
  )
  if (ended === 'finished') process.stdout.write(`  next: reprise verify ${path}\n`)
  else process.stdout.write(`  to go on with it, here or on another host: reprise resume ${path}\n`)
  return EXIT_YES
}
