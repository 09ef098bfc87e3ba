/** `reprise recovery drill`: the whole story on this machine, or what a blackout would do to a fleet. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { RecoveryError } from '@reprise/recovery'
import { boardLines } from '@reprise/recovery/board'
import { type DrillEvent, type DrillResult, type DrillSettings, runBlackout, runDrill } from '@reprise/recovery/drill'
import { holderAbsent } from '@reprise/recovery/loading'
import { createContext } from '../context.ts'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { boardStyle } from '../print/board-style.ts'
import { readPlanFile } from '../recovery-file.ts'
import { advise, duration, paint, safe } from '../print/format.ts'

interface Options {
  readonly local?: boolean
  readonly hosts: number
  readonly keep?: boolean
  readonly folder?: string
  readonly blackout?: string
  readonly dryRun?: boolean
  readonly plan?: string
  readonly seed: number
  readonly json?: boolean
}

export async function action(options: object): Promise<number> {
  const { local = false, blackout, dryRun = false, plan, seed, json = false, ...rest } = options as Options
  if (local && blackout === undefined) return await drillHere({ ...rest, json })
  if (local || blackout === undefined || plan === undefined)
    throw new RecoveryError('USAGE', {
      message: 'it is not said what to drill',
      hint: 'say --local, or --blackout NAME --plan FILE, with --dry-run for the prediction alone',
    })
  const { predictBlackout } = await import('./recovery-predict.ts')
  // With --json the answer is one document: that of what was played.
  const predicted = dryRun || !json ? await predictBlackout({ blackout, plan, seed, json }) : EXIT_YES
  if (dryRun) return predicted
  const parsed = await readPlanFile(plan)
  return await inFolder({ ...rest, json }, (common) => runBlackout({ ...common, plan: parsed, name: blackout }))
}

interface Here extends Pick<Options, 'hosts' | 'keep' | 'folder'> {
  readonly json: boolean
}

async function drillHere(here: Here): Promise<number> {
  const absent = servicesAbsent()
  if (absent !== undefined && !here.json) advise(`no services in this drill: ${absent}`)
  const { hosts } = here
  return await inFolder(here, (common) => runDrill({ ...common, hosts, services: absent === undefined }))
}

type Common = Omit<DrillSettings, 'hosts' | 'services'>

async function inFolder(
  { keep = false, folder: named, json }: Omit<Here, 'hosts'>,
  play: (common: Common) => Promise<DrillResult>,
): Promise<number> {
  const { signal } = createContext()
  const folder = await emptyFolder(named)
  try {
    const command = [process.execPath, ...process.execArgv, process.argv[1]]
    const tell = json ? () => undefined : show
    const result = await play({ folder, command, tell, signal })
    if (json) process.stdout.write(`${JSON.stringify({ schema: 'reprise/recovery-drill-result/v1', ...result })}\n`)
    else farewell(result, keep ? folder : undefined)
    return result.checks.every(({ holds }) => holds) ? EXIT_YES : EXIT_NO
  } finally {
    if (!keep) await rm(folder, { recursive: true, force: true })
  }
}

/** Sockets are in it, whose paths may have 107 bytes at most. */
async function emptyFolder(named: string | undefined): Promise<string> {
  if (named === undefined) return await mkdtemp(join(tmpdir(), 'drill-'))
  const folder = resolve(named)
  await mkdir(folder, { recursive: true })
  if ((await readdir(folder)).length === 0) return folder
  throw new RecoveryError('USAGE', { message: `${folder} is not empty`, hint: 'name another one with --folder' })
}

/** Why there can be no services here; undefined when there can. */
function servicesAbsent(): string | undefined {
  if (process.getuid?.() !== 0) return 'their namespaces want root'
  return holderAbsent()
}

function show(event: DrillEvent): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  switch (event.kind) {
    case 'chapter':
      line('')
      line(paint('bold', `${event.number}. ${safe(event.title)}`, process.stdout))
      break
    case 'told':
      line(`   ${safe(event.text)}`)
      break
    case 'board':
      for (const text of boardLines(event.view, { style: boardStyle, hostsMax: 12 })) line(`   | ${text}`)
      break
    case 'checked':
      line(
        `   ${event.holds ? paint('green', 'holds', process.stdout) : paint('red', 'DOES NOT HOLD', process.stdout)}   ${safe(event.what)}`,
      )
      break
  }
}

function farewell({ checks, elapsedMs }: DrillResult, kept: string | undefined): void {
  const broken = checks.filter(({ holds }) => !holds)
  process.stdout.write(`\n${checks.length - broken.length} of ${checks.length} checks hold; ${duration(elapsedMs)}\n`)
  if (kept !== undefined) process.stdout.write(`everything it made is in ${safe(kept)}; nothing of it runs\n`)
}
