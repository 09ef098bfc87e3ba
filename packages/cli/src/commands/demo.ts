/** `reprise demo`: the whole first story, with the commands that a user would type. */
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { repriseHome } from '@reprise/host'
import { RunnerError } from '@reprise/runner'
import { EXIT_NO, EXIT_UNKNOWN, EXIT_YES } from '../exit.ts'
import { duration, paint, safe, shortPath } from '../print/format.ts'
import { repositoryRoot } from '../repository.ts'
import { action as diff } from './diff.ts'
import { action as repeat } from './repeat.ts'
import { action as run } from './run.ts'
import { action as verify } from './verify.ts'

const MARKER = '.reprise-demo'
const SCRIPT = 'co2.py'
const DATA = 'co2-concentration.csv'
/** Where the same script gets a changed table. */
const CHANGED = 'changed-table'
/** Finer than the default, so that a second of computing has checkpoints to compare. */
const CHECKPOINTS = 'every=200000000'

/** A step: what it shows, the command as a user types it, and what its exit code must be. */
interface Step {
  readonly story: readonly string[]
  readonly before?: () => Promise<void>
  readonly command: string
  readonly run: () => Promise<number>
  readonly expected: number
}

export async function action(options: object): Promise<number> {
  const { folder: named } = options as { readonly folder?: string }
  const folder = named === undefined ? join(repriseHome(), 'demo') : resolve(named)
  const startedMs = performance.now()
  await prepareFolder(folder)
  const home = process.cwd()
  process.chdir(folder)
  try {
    for (const [index, step] of steps().entries()) {
      say('')
      for (const [line, text] of step.story.entries())
        say(line === 0 ? paint('bold', `${index + 1}. ${text}`, process.stdout) : `   ${text}`)
      // A story has an order.
      await step.before?.()
      say(paint('dim', `$ ${step.command}`, process.stdout))
      const code = await step.run()
      if (code !== step.expected) {
        say(`This should have ended with ${step.expected} and ended with ${code}: please report it.`)
        return EXIT_UNKNOWN
      }
    }
  } finally {
    process.chdir(home)
  }
  farewell(folder, performance.now() - startedMs)
  return EXIT_YES
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Only a folder that an earlier demo made is emptied. */
async function prepareFolder(folder: string): Promise<void> {
  if (existsSync(folder) && !existsSync(join(folder, MARKER))) {
    throw new RunnerError('USAGE', {
      message: `${folder} is there already and is not of an earlier demo`,
      hint: 'name another one with --folder',
    })
  }
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, MARKER), '')
  await copyFile(join(repositoryRoot(), 'packages/cli/demo', SCRIPT), join(folder, SCRIPT))
  const datasets = createRequire(import.meta.url).resolve('vega-datasets')
  await copyFile(join(dirname(datasets), '..', 'data', DATA), join(folder, DATA))
}

function steps(): readonly Step[] {
  const options = { attach: 'outputs', writeBack: true, checkpoint: CHECKPOINTS, inputs: '.', rerun: true } as const
  return [
    {
      story: [
        'An ordinary Python script computes how fast carbon dioxide rises, from 741 monthly measurements.',
        'It even draws random numbers. It is run in a virtual machine that measures its whole memory at',
        'checkpoints, and the security chip of this computer (or a software stand-in) signs each measurement.',
      ],
      command: `reprise run --checkpoint ${CHECKPOINTS} python co2.py`,
      run: () => run(options, ['python', 'co2.py']),
      expected: EXIT_YES,
    },
    {
      story: ['co2.reprise is the proof. Anybody can check it, with no network and no such chip.'],
      command: 'reprise verify co2.reprise',
      run: () => verify({}, ['co2.reprise']),
      expected: EXIT_YES,
    },
    {
      story: [
        'Signatures show that nothing was changed since. That the table comes from this code and this data',
        'is shown by running it again: the same states, bit for bit, random numbers and all.',
      ],
      command: 'reprise repeat co2.reprise',
      run: () => repeat(options, ['co2.reprise']),
      expected: EXIT_YES,
    },
    {
      story: ['Somebody changes one byte of the proof.'],
      before: () => changeByte('co2.reprise', 'changed.reprise'),
      command: 'reprise verify changed.reprise',
      run: () => verify({}, ['changed.reprise']),
      expected: EXIT_NO,
    },
    {
      story: ['Somebody changes one measurement by a tenth, and runs the script on that.'],
      before: changeInput,
      command: `cd ${CHANGED}; reprise run --checkpoint ${CHECKPOINTS} python co2.py; cd ..`,
      run: async () => {
        process.chdir(CHANGED)
        const code = await run(options, ['python', 'co2.py'])
        process.chdir('..')
        return code
      },
      expected: EXIT_YES,
    },
    {
      story: ['Where do the two runs part? At this checkpoint, this byte of memory, this value of the table:'],
      command: `reprise diff co2.reprise ${CHANGED}/co2.reprise`,
      run: () => diff(options, ['co2.reprise', `${CHANGED}/co2.reprise`]),
      expected: EXIT_NO,
    },
  ]
}

/** Flips a bit in the middle of the file, where the compressed evidence lies. */
async function changeByte(source: string, target: string): Promise<void> {
  const bytes = await readFile(source)
  const at = bytes.length >> 1
  bytes[at] = bytes[at] ^ 0x01
  await writeFile(target, bytes)
  say(`   (byte ${at} of ${bytes.length})`)
}

/** A second folder, with 0.10 ppm more in one month of the table. */
async function changeInput(): Promise<void> {
  const lines = (await readFile(DATA, 'utf8')).split('\n')
  const at = 400
  const cells = lines[at].split(',')
  const before = cells[1]
  cells[1] = (Number(before) + 0.1).toFixed(2)
  lines[at] = cells.join(',')
  await mkdir(CHANGED)
  await copyFile(SCRIPT, join(CHANGED, SCRIPT))
  await writeFile(join(CHANGED, DATA), lines.join('\n'))
  say(`   (${cells[0]}: ${before} becomes ${cells[1]})`)
}

function farewell(folder: string, elapsedMs: number): void {
  say('')
  say(`That took ${duration(elapsedMs)}. What to try next:`)
  say(`   cd ${safe(shortPath(folder))}`)
  say('   reprise show co2.reprise            what ran, on what, with what outcome')
  say('   reprise run python YOUR-SCRIPT.py   your own script, as it is')
  say('   reprise run PROGRAM.wasm            any WASI program')
  say('   reprise host show                   the TPM that signs on this machine')
}
