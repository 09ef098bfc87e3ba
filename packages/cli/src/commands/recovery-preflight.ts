/** `reprise recovery preflight`: which hosts would not unseal after an update, and what to approve before it. */
import { EvidenceError, parseEventLog, EVENT_LOG_BYTES_MAX, type EventLog, hex } from '@reprise/core'
import { RecoveryError } from '@reprise/recovery'
import {
  changedRegisters,
  encodeBoots,
  JSON_BYTES_MAX,
  judgeUpdate,
  predictBoot,
  type Prediction,
  type Preflight,
  readUpdate,
  type Update,
} from '@reprise/recovery/operators'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { count, safe } from '../print/format.ts'
import { readSignedPlanFile, readWhole, refuseExisting, writeFileWhole } from '../recovery-operators.ts'

interface Options {
  readonly firmware: string
  readonly log: string
  readonly plan?: string
  readonly output?: string
  readonly json?: boolean
}

export async function action(options: object): Promise<number> {
  const { firmware, log: logPath, plan: planPath, output, json = false } = options as Options
  if (output !== undefined) {
    if (planPath === undefined)
      throw new RecoveryError('USAGE', { message: '-o writes boots for a plan, and none is named', hint: 'add --plan' })
    await refuseExisting(output, 'name another file with -o')
  }
  const update = readUpdate(await readWhole(firmware, JSON_BYTES_MAX), firmware)
  const prediction = predictBoot(readLog(await readWhole(logPath, EVENT_LOG_BYTES_MAX), logPath), update)
  const judged =
    planPath === undefined ? undefined : judgeUpdate((await readSignedPlanFile(planPath)).plan, prediction, update.name)
  const written = output !== undefined && judged !== undefined && judged.boots.length > 0 ? output : undefined
  if (written !== undefined && judged !== undefined) await writeFileWhole(written, encodeBoots(judged.boots))
  if (json) printJson(prediction, judged, written)
  else print({ update, prediction, judged, planPath, written })
  return judged?.hosts.some(({ verdict }) => verdict === 'refused') === true ? EXIT_NO : EXIT_YES
}

function readLog(content: Uint8Array, path: string): EventLog {
  try {
    return parseEventLog(content)
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error
    throw new EvidenceError(error.code, {
      message: `${path}: ${error.message}`,
      hint: 'name a log as the kernel shows it: /sys/kernel/security/tpm0/binary_bios_measurements',
      cause: error,
    })
  }
}

function printJson(
  { present, predicted, exchanged }: Prediction,
  judged: Preflight | undefined,
  output?: string,
): void {
  const values = (registers: typeof present): object =>
    Object.fromEntries(registers.map(({ pcr, value }) => [pcr, hex(value)]))
  const answer = {
    present: values(present),
    predicted: values(predicted),
    exchanged: exchanged.map(({ component, events }) => ({ name: component.name ?? null, events })),
    hosts: judged?.hosts ?? null,
    boots: judged?.boots ?? null,
    output: output ?? null,
  }
  process.stdout.write(`${JSON.stringify({ schema: 'reprise/recovery-preflight-result/v1', ...answer })}\n`)
}

interface Shown {
  readonly update: Update
  readonly prediction: Prediction
  readonly judged: Preflight | undefined
  readonly planPath: string | undefined
  readonly written: string | undefined
}

const NAMES_SHOWN = 8

function print({ update, prediction, judged, planPath, written }: Shown): void {
  const line = (text: string): void => void process.stdout.write(`${safe(text)}\n`)
  const changed = changedRegisters(prediction)
  const events = prediction.exchanged.reduce((sum, each) => sum + each.events.length, 0)
  line(
    `${update.name}   ${count(update.components.length, 'component')} in ${count(events, 'event')}   ${changed.length === 0 ? 'no register changes' : `registers ${changed.join(', ')} change`}`,
  )
  for (const pcr of changed) {
    const value = (registers: Prediction['present']): string =>
      hex(registers.find((each) => each.pcr === pcr)?.value ?? new Uint8Array())
    line(`  ${pcr}   ${value(prediction.present)}`)
    line(`  ${' '.repeat(`${pcr}`.length)} → ${value(prediction.predicted)}`)
  }
  if (judged === undefined) {
    line('  not checked: which hosts that is to (add --plan)')
    return
  }
  const words = { unseals: 'would unseal', refused: 'would NOT unseal', unknown: 'not said: the log is of no boot of' }
  for (const verdict of ['unseals', 'refused', 'unknown'] as const) {
    const hosts = judged.hosts.filter((each) => each.verdict === verdict).map(({ host }) => host)
    if (hosts.length === 0) continue
    const more = hosts.length > NAMES_SHOWN ? ` and ${hosts.length - NAMES_SHOWN} more` : ''
    line(`  ${words[verdict]}   ${hosts.slice(0, NAMES_SHOWN).join(', ')}${more}`)
  }
  if (judged.boots.length === 0) return
  line(
    written === undefined
      ? '  try: -o boots.json, which can be approved before the update'
      : `  wrote ${written}\n  next: reprise recovery approve ${planPath} --boots ${written} -o NEXT`,
  )
}
