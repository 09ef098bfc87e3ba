/** `reprise recovery audit`: do the logs hold, each by itself and beside each other, and what happened? */
import { stat } from 'node:fs/promises'
import { hex } from '@reprise/core'
import { RecoveryError, type Plan } from '@reprise/recovery'
import { type Audit, auditLogs, type LogInput, type StoryLine, storyOf } from '@reprise/recovery/audit'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { count, paint, safe } from '../print/format.ts'
import { filesOf, readSignedPlanFile, readWhole } from '../recovery-operators.ts'

interface Options {
  readonly plan?: readonly string[]
  readonly gathered?: number
  readonly lines: number
  readonly json?: boolean
}

const LOG_BYTES_MAX = 1 << 30

export async function action(options: object, paths: readonly string[]): Promise<number> {
  const { plan: planPaths, gathered, lines, json = false } = options as Options
  const plans = planPaths && (await Promise.all(planPaths.map(readSignedPlanFile))).map(({ plan }) => plan)
  const files = (await Promise.all(paths.map(logsAt))).flat()
  const inputs: LogInput[] = []
  for (const file of files) inputs.push({ log: file, content: await readLog(file) })
  const audit = await auditLogs(inputs, plans, gathered === undefined ? {} : { gatheredMs: gathered })
  const story = storyOf(audit.logs)
  const absent = absentHosts(audit, plans)
  if (json) printJson(audit, story, absent)
  else
    print(audit, {
      story: lines === 0 ? [] : story.slice(-lines),
      hidden: Math.max(0, story.length - lines),
      absent,
      plans,
    })
  return audit.problems.length > 0 ? EXIT_NO : EXIT_YES
}

async function logsAt(path: string): Promise<readonly string[]> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
  if (!isFolder) return [path]
  const found = await filesOf(path, '.jsonl')
  if (found.length > 0) return found
  throw new RecoveryError('AUDIT', {
    message: `${path} has no file that ends in .jsonl`,
    hint: 'gather the audit logs of the hosts there, each by another name',
  })
}

async function readLog(path: string): Promise<Uint8Array> {
  const content = await readWhole(path, LOG_BYTES_MAX)
  if (content.length <= LOG_BYTES_MAX) return content
  throw new RecoveryError('AUDIT', {
    message: `${path} has more than ${LOG_BYTES_MAX} bytes`,
    hint: 'logs of that length are not audited by this version',
  })
}

/** Hosts of the newest plan whose logs nobody gave. */
function absentHosts({ logs }: Audit, plans: readonly Plan[] | undefined): readonly string[] {
  const newest = plans?.reduce((a, b) => (b.roster.version > a.roster.version ? b : a))
  const given = new Set(logs.map(({ host }) => host))
  const active = newest?.roster.hosts.filter(({ state }) => state === 'active') ?? []
  return active.map(({ id }) => id).filter((id) => !given.has(id))
}

function printJson(
  { logs, problems, notes, quotes }: Audit,
  story: readonly StoryLine[],
  absent: readonly string[],
): void {
  const answer = {
    verified: problems.length === 0,
    logs: logs.map(({ log, host, fleet, length, head, countersigned }) => ({
      ...{ log, host: host ?? null, fleet: fleet ?? null, entries: length, head: hex(head), countersigned },
    })),
    ...{ problems, notes, quotes, absent, story },
  }
  process.stdout.write(`${JSON.stringify({ schema: 'reprise/recovery-audit-result/v1', ...answer })}\n`)
}

const NAMES_SHOWN = 5

function named(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN
  return names.slice(0, NAMES_SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

function print(
  { logs, problems, notes, quotes }: Audit,
  {
    story,
    hidden,
    absent,
    plans,
  }: {
    readonly story: readonly StoryLine[]
    readonly hidden: number
    readonly absent: readonly string[]
    readonly plans: readonly Plan[] | undefined
  },
): void {
  const { stdout } = process
  const line = (text: string): void => void stdout.write(`${text}\n`)
  const verdict = problems.length === 0 ? paint('green', 'verified', stdout) : paint('red', 'refuted', stdout)
  const entries = logs.reduce((sum, { length }) => sum + length, 0)
  line(`${verdict}   ${count(logs.length, 'log')}   ${count(entries, 'entry', 'entries')}, ${count(quotes, 'quote')}`)
  for (const { code, log, entry, message } of problems)
    line(safe(`  ${code}   ${log}${entry === undefined ? '' : `, entry ${entry}`}: ${message}`))
  for (const { log, host = 'nobody', length: own, countersigned } of logs) {
    const { length, witnesses } = countersigned
    const by = length === 0 ? 'countersigned by nobody' : `the first ${length} countersigned by ${named(witnesses)}`
    line(safe(`  ${log}   ${host}: ${count(own, 'entry', 'entries')}, ${by}`))
  }
  for (const { code, log, entry, message } of notes)
    line(safe(`  note ${code}   ${log}${entry === undefined ? '' : `, entry ${entry}`}: ${message}`))
  if (problems.some(({ code }) => code === 'CUT' || code === 'SHARE'))
    line('  try: if hosts went on while their logs were copied, say when that began: --gathered TIME')
  if (plans === undefined) line('  not checked: whose keys signed (add --plan, for each plan that was in force)')
  if (absent.length > 0) line(safe(`  not checked: the logs of ${named(absent)}, which are not here`))
  if (hidden > 0 && story.length > 0) line(`  ${count(hidden, 'earlier line')} left out (--lines)`)
  for (const { wallMs, host, text } of story) line(safe(`${new Date(wallMs).toISOString()}   ${host}   ${text}`))
}
