/** `reprise show`: what a record says, and first of all whether to believe it; or what this host knows of a run. */
import {
  computationId,
  hex,
  type AttemptHost,
  type Computation,
  type RecordDocument,
  type VerifyResult,
  type WarmStart,
} from '@reprise/core'
import { findRun, nodeCrypto, runtimeOf } from '@reprise/runner'
import { createContext } from '../context.ts'
import { EXIT_NO, EXIT_UNKNOWN, EXIT_YES } from '../exit.ts'
import { bytes, count, safe, short } from '../print/format.ts'
import { hostRows, ruleRow } from '../print/host.ts'
import { isRunName } from '../run-name.ts'
import { showRunOfHost } from './show-run.ts'
import { printVerdict, verifyFile } from './verify.ts'

export async function action(options: object, [path = '']: readonly string[]): Promise<number> {
  const { json = false } = options as { readonly json?: boolean }
  if (isRunName(path)) {
    const { home } = createContext()
    return await showRunOfHost(home, await findRun(home, path), json)
  }
  const result = await verifyFile(path)
  const { document, evidence } = result
  if (json) {
    const {
      findings,
      checkpoints,
      attestations,
      snapshots,
      attached,
      cumulative,
      powerChanges,
      hosts,
      attempts,
      measurer,
    } = result
    process.stdout.write(
      `${JSON.stringify({ schema: 'reprise/show-result/v1', record: path, evidence, computation: result.computationId, cumulative, checkpoints, attestations, snapshots, attached, powerChanges, measurer, hosts, attempts, document, findings })}\n`,
    )
  } else {
    printVerdict(path, result)
    // What a refuted record says is nobody's word.
    if (document !== null && evidence !== 'refuted') printDocument(document, result)
  }
  return evidence === 'verified' ? EXIT_YES : evidence === 'refuted' ? EXIT_NO : EXIT_UNKNOWN
}

function printDocument(document: RecordDocument, result: VerifyResult): void {
  const { computation, outcome, attempts } = document
  const rows: [string, string][] = [
    ['computation', hex(computationId(computation, nodeCrypto.sha256))],
    ['program', program(computation)],
    ['arguments', computation.arguments.map((word) => JSON.stringify(word)).join(' ')],
    ['inputs', inputs(computation)],
    [
      'virtual',
      `clock ${new Date(Number(BigInt(computation.clock) / 1_000_000n)).toISOString()}, seed ${computation.seed}`,
    ],
    ...(computation.start === undefined ? [] : [warmRow(computation.start)]),
    ['checkpoints', policy(computation)],
  ]
  for (const { attempt, environment: e } of attempts) {
    const name = attempts.length === 1 ? 'host' : `attempt ${attempt}`
    rows.push([name, `${e.cpu}, ${e.platform} ${e.kernel} ${e.architecture}, Node ${e.node}, Reprise ${e.reprise}`])
    rows.push(['TPM', `${e.tpm.manufacturer} ${e.tpm.firmware} by ${e.tpm.transport}`])
    const shown = result.attempts.find((each) => each.attempt === attempt)
    if (shown !== undefined) rows.push(...shownHost(shown))
    if (e.repeats !== null) rows.push(['repeats', `run ${e.repeats}`])
    for (const run of e.follows) rows.push(['follows', `run ${run}`])
  }
  rows.push(['run', document.run])
  if (result.snapshots > 0) rows.push(['snapshots', snapshots(result)])
  if (outcome !== null) {
    rows.push(['outcome', 'code' in outcome.exit ? `exited ${outcome.exit.code}` : `trapped: ${outcome.exit.trap}`])
    for (const { path, length, sha256 } of outcome.outputs)
      rows.push(['output', `${path}  ${count(length, 'byte')}  ${short(sha256)}`])
  }
  for (const [name, value] of rows) process.stdout.write(`  ${name.padEnd(12)} ${safe(value)}\n`)
}

function shownHost(host: AttemptHost): [string, string][] {
  const isGiven = host.logs.some((log) => log.kind === 'boot' && 'source' in log && log.source === 'user')
  const changed = host.changed.map(({ pcr, firstSeq, times }): [string, string] => [
    'changed',
    `PCR ${pcr}, first seen at checkpoint ${firstSeq}, in ${count(times, 'attestation')}`,
  ])
  const rules = host.rules.map(ruleRow).map(([answer, text]): [string, string] => [`rule ${answer}`, text])
  return [...hostRows(host, isGiven).map(([name, value]): [string, string] => [name, value]), ...rules, ...changed]
}

function warmRow({ arguments: args, snapshotRoot }: WarmStart): [string, string] {
  return ['start', `warm, after ${args.map((word) => JSON.stringify(word)).join(' ')}, state ${snapshotRoot}`]
}

function snapshots({ snapshots: signed, attached }: VerifyResult): string {
  const { plain, stored } = attached.snapshotBytes
  const size = attached.snapshots === 0 ? '' : `, ${bytes(stored)} there, ${bytes(plain)} plain`
  return `${signed}, ${attached.snapshots} of them in the record${size}`
}

function program(computation: Computation): string {
  const { sha256, lengthBytes } = computation.program
  const known = runtimeOf(computation)?.title
  return `${known ?? computation.arguments[0] ?? ''}  ${bytes(lengthBytes)}  sha256:${sha256}`
}

function inputs({ mounts }: Computation): string {
  const files = mounts.flatMap(({ source }) => (source.kind === 'files' ? source.files : []))
  const total = files.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
  const named = files.slice(0, 5).map(({ path }) => path)
  const more = files.length > named.length ? ` and ${files.length - named.length} more` : ''
  return files.length === 0 ? 'none' : `${named.join(', ')}${more}  ${bytes(total)}`
}

function policy({ checkpoints }: Computation): string {
  return checkpoints.kind === 'grid'
    ? `every ${Number(checkpoints.fuel).toLocaleString('en-US')} fuel units`
    : checkpoints.kind
}
