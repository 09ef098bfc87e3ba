/** Commands and their options; what they do is loaded when it is asked for. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import type { KeepSnapshots, SegmentChoice } from '@reprise/runner'
import { acting } from './acting.ts'
import { EXIT_USAGE } from './exit.ts'
import { watchOutput } from './print/streams.ts'
import { addAuthority } from './program-authority.ts'
import { addRecovery } from './program-recovery.ts'
import { addRuntime } from './program-runtime.ts'

const ATTACH = ['none', 'outputs', 'runtime', 'resume', 'all']

function milliseconds(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('a whole number of milliseconds is wanted')
  return value
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!/^\d{1,9}$/.test(text) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError('a whole number is wanted')
  return value
}

function keepSnapshots(text: string): KeepSnapshots {
  if (text === 'all' || text === 'none') return text
  const value = wholeNumber(text)
  if (value < 1) throw new InvalidArgumentError('a number above 0, all or none is wanted')
  return value
}

function jobs(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1 || value > 256)
    throw new InvalidArgumentError('a number from 1 to 256 is wanted')
  return value
}

function segments(text: string): SegmentChoice {
  if (text === 'all') return { kind: 'all' }
  const [, count] = /^sample:([1-9]\d{0,5})$/.exec(text) ?? []
  if (count !== undefined) return { kind: 'sample', count: Number(count) }
  const [, first, last] = /^(\d{1,6})\.\.(\d{1,6})$/.exec(text) ?? []
  if (first !== undefined && Number(first) <= Number(last))
    return { kind: 'range', first: Number(first), last: Number(last) }
  throw new InvalidArgumentError('all, sample:K or K..L is wanted')
}

function list(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}

const json = (): Option => new Option('--json', 'answer with one JSON document on stdout')
const keep = (): Option =>
  new Option(
    '--keep-snapshots <n>',
    'how many of the newest stay in the store, all, or none after the end (default: all, or as the run began)',
  ).argParser(keepSnapshots)
const trust = (): Option =>
  new Option(
    '--trust <policy>',
    'whom you trust: a policy, the root certificate of an authority, or an attestation key by its Name in hex; may be given again',
  ).argParser(list)

const blobs = (): Option =>
  new Option(
    '--blobs <place>',
    'a folder or http(s) address that has what is neither attached nor in the store, as sha256/<digest>; may be given again',
  ).argParser(list)

/** Those of {@link addRun}. */
const RUNNING = new Set<string | undefined>(['demo', 'run', 'resume'])

/** @param wanted - What is asked for: describing all the other commands would take as long as a small program runs. */
export function createProgram(version: string, wanted?: string): Command {
  const program = new Command('reprise')
    .description(
      'Runs a computation so that anyone can run it again and get the same states bit for bit, signed by the TPM of the host.',
    )
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .enablePositionalOptions()
    .exitOverride()
  addRun(program)
  addResume(program)
  if (RUNNING.has(wanted)) return pointedToHelp(program)
  addReaders(program)
  addMachine(program)
  addRuntime(program, jobs)
  addAuthority(program)
  addRecovery(program)
  return pointedToHelp(program)
}

/** What was typed wrong is answered with where the right words stand. */
function pointedToHelp(command: Command, words = command.name()): Command {
  command.showHelpAfterError(`(see: ${words} --help)`)
  for (const each of command.commands) pointedToHelp(each, `${words} ${each.name()}`)
  return command
}

/** What makes records. */
function addRun(program: Command): void {
  program
    .command('demo')
    .description('the whole story on this machine, in under a minute')
    .option('--folder <path>', 'where to put its files (default: demo in REPRISE_HOME)')
    .action(acting('demo', () => import('./commands/demo.ts')))

  program
    .command('run')
    .description('run a program and write its record')
    .usage('[options] PROGRAM [ARGS...]')
    .argument(
      '<program>',
      'a .wasm command module; python, ruby, php, qjs, sqlite or an installed runtime and what follows; or a computation.yaml',
    )
    .argument('[args...]', 'arguments of the program')
    .passThroughOptions()
    .option('-o, --output <file>', 'the record to write (default: the name of the program, ending .reprise)')
    .addOption(
      new Option(
        '--input <path[:guest]>',
        'a file or folder for the program, instead of the current folder; may be given again',
      ).argParser(list),
    )
    .addOption(
      new Option('--env <name=value>', 'an environment variable for the program; may be given again').argParser(list),
    )
    .addOption(
      new Option('--package <wheel|folder>', 'a pure Python package, besides the inputs; may be given again').argParser(
        list,
      ),
    )
    .option('--stdin <file>', 'standard input of the program, - for that of this command (default: empty)')
    .option('--seed <n|random>', 'seed of everything random (default: 0)')
    .option('--time <iso|now>', 'the time at which the program believes to start (default: 2000-01-01T00:00:00Z)')
    .option('--checkpoint <policy>', 'every=FUEL, outputs or none (default: about one a second)')
    .option('--runtime <name>', 'an installed runtime by name or the beginning of its id, or stock (default: the best)')
    .option('--cold', 'begin at the very beginning of the program: no warm start of Python')
    .option('--memory <size>', 'the most memory the program may have (default: 2GiB)')
    .addOption(
      new Option('--floats <kind>', 'NaNs: canonical, or as this host makes them').choices(['canonical', 'host']),
    )
    .addOption(
      new Option(
        '--compare <output=kind>',
        'what counts as the same: bytes, text, numbers or json with ,abs=X,rel=Y; may be given again',
      ).argParser(list),
    )
    .addOption(new Option('--attach <what>', 'what the record carries').choices(ATTACH).default('outputs'))
    .option('--max-lag-ms <n>', 'how old an unsigned checkpoint may get before the program waits', milliseconds)
    .option(
      '--snapshot-ms <n>',
      'milliseconds between snapshots (default: 10 to 60 s, by what they cost)',
      milliseconds,
    )
    .addOption(keep())
    .option('--no-snapshots', 'take none: the run cannot be gone on with after a crash, nor repeated in parts')
    .option(
      '--host-rules <file>',
      'what the host must show, in YAML or JSON: computation.md, section 7; else nothing begins',
    )
    .option('--no-write-back', 'leave the outputs out of the working folder')
    .addOption(json())
    .action(acting('run', () => import('./commands/run.ts')))
}

function addResume(program: Command): void {
  program
    .command('resume')
    .description('go on with a run after a crash or on another host, from its newest signed snapshot')
    .argument('[run]', 'the beginning of a run id, or last; or a record, from this host or another one')
    .option('--cut-off', 'instead: all runs of this host that a crash or a loss of power cut off, one after the other')
    .option('-o, --output <file>', 'the record to write (default: the run id, or the name of the record)')
    .addOption(trust())
    .addOption(blobs())
    .option('--inputs <folder>', 'where to look for inputs that are neither attached nor in the store', '.')
    .option(
      '--discard-alarm',
      'try again although what was signed came out differently; it still has to come out as signed',
    )
    .addOption(new Option('--attach <what>', 'what the record carries').choices(ATTACH).default('outputs'))
    .option('--max-lag-ms <n>', 'how old an unsigned checkpoint may get before the program waits', milliseconds)
    .option(
      '--snapshot-ms <n>',
      'milliseconds between snapshots (default: 10 to 60 s, by what they cost)',
      milliseconds,
    )
    .addOption(keep())
    .addOption(json())
    .action(acting('resume', () => import('./commands/resume.ts')))
}

/** What reads, repeats and compares them. */
function addReaders(program: Command): void {
  program
    .command('show')
    .description('what ran, where, on what, with what outcome')
    .argument('<record>', 'a record; or the beginning of a run id, or last: what this host knows of the run')
    .addOption(json())
    .action(acting('show', () => import('./commands/show.ts')))

  program
    .command('verify')
    .description('check the evidence of records; needs no TPM, network or state')
    .argument('<record...>', 'records, and folders whose *.reprise files are meant')
    .addOption(trust())
    .option('--require-enrolment', 'a host that enrolled itself is not enough')
    .option('--host-rules <file>', 'what you demand of the hosts; without it nothing counts as measured')
    .option('--jobs <n>', 'how many threads verify (default: as many as there are processors)', jobs)
    .addOption(json())
    .action(acting('verify', () => import('./commands/verify.ts')))

  program
    .command('repeat')
    .description('run it again and compare every checkpoint')
    .argument('<record>')
    .option(
      '-o, --output <file>',
      "the repetition's own record (default: the name of the record, ending .repeat.reprise)",
    )
    .option('--inputs <folder>', 'where to look for files that are neither attached nor in the store', '.')
    .addOption(blobs())
    .option('--continue', 'go on after the first difference')
    .option(
      '--segments <which>',
      'repeat parts from their snapshots: all, sample:K (drawn here and now) or K..L',
      segments,
    )
    .option('--jobs <n>', 'how many segments at the same time', jobs, 2)
    .addOption(new Option('--attach <what>', 'what the record carries').choices(ATTACH).default('outputs'))
    .addOption(json())
    .action(acting('repeat', () => import('./commands/repeat.ts')))

  program
    .command('diff')
    .description('the first difference between two runs, to the step and the byte')
    .argument('<a>')
    .argument('<b>')
    .option('--inputs <folder>', 'where to look for files that are neither attached nor in the store', '.')
    .addOption(
      new Option('--steps <yes|no>', 'whether to look for the first step that differs')
        .choices(['yes', 'no'])
        .default('yes'),
    )
    .option('--no-rerun', 'do not run them again, neither for the step nor to see the memory')
    .addOption(json())
    .action(acting('diff', () => import('./commands/diff.ts')))

  program
    .command('export')
    .description('the evidence in the form of other tools, or a run that left no record as one')
    .argument('<record>', 'for --format record: the beginning of a run id, or last')
    .addOption(
      new Option(
        '--format <format>',
        'tpm2: a folder for tpm2_checkquote; cel: the logs of its hosts as Canonical Event Log; record: the record of a run on this host',
      )
        .choices(['tpm2', 'record', 'cel'])
        .makeOptionMandatory(),
    )
    .option('-o, --output <path>', 'the folder or file to make (default: the name of the record or run)')
    .option('--attempt <n>', 'for --format cel: whose host (default: the last)', wholeNumber)
    .addOption(
      new Option('--attach <what>', 'what a record carries; resume: all that going on needs')
        .choices(ATTACH)
        .default('resume'),
    )
    .addOption(json())
    .action(acting('export', () => import('./commands/export.ts')))
}

/** This machine. */
function addMachine(program: Command): void {
  const host = program.command('host').description("this host's TPM and identity")
  host
    .command('init')
    .description('make the identity of this host')
    .option('--new', 'make a new one, when the TPM was cleared or replaced')
    .addOption(json())
    .action(acting('host init', () => import('./commands/host-init.ts')))
  host
    .command('show')
    .description('tier, EK certificate, AK, PCRs, clock, lockout state')
    .addOption(json())
    .action(acting('host show', () => import('./commands/host-show.ts')))
  host
    .command('attest')
    .description('what this host shows of its boot, its engine and itself; what is unknown, and why')
    .option('--rules <file>', 'say which of these rules hold')
    .option('-o, --output <file>', 'write the quote, the registers and the facts as JSON')
    .addOption(json())
    .action(acting('host attest', () => import('./commands/host-attest.ts')))
  host
    .command('enroll')
    .description('have an authority vouch for this host')
    .option('--authority <url|file>', 'the address of the authority; or its challenge or certificate in a file')
    .option('--authority-root <file|sha256:hex>', 'which authority it must be, by its root certificate or fingerprint')
    .option('--name <name>', 'what this host is to be called (default: as before, or as the machine is called)')
    .option('--request <file>', 'write a request to a file, for an authority that is not on the network')
    .option('-o, --output <file>', 'where to write the answer to a challenge in a file')
    .option('--wait <seconds>', 'wait so long for an operator to approve', wholeNumber)
    .option('--renew', 'also when the certificate is good for long')
    .addOption(json())
    .action(acting('host enroll', () => import('./commands/host-enroll.ts')))

  const store = program.command('store').description('what Reprise keeps on this machine')
  store
    .command('show')
    .description('what takes how much of the disk, and for what')
    .addOption(json())
    .action(acting('store show', () => import('./commands/store-show.ts')))
  store
    .command('gc')
    .description('show what nothing needs; with --yes, delete it. Safe at any moment, also while runs go on')
    .option('--yes', 'delete it')
    .option('--keep-runs <n>', 'also forget runs that have ended, all but the newest n; records stay', wholeNumber)
    .option('--older-than <days>', 'also forget runs that ended longer ago; records stay', wholeNumber)
    .addOption(json())
    .action(acting('store gc', () => import('./commands/store-gc.ts')))

  program
    .command('bench')
    .description("the project's own figures on this machine")
    .argument('[group...]')
    .option('--quick', 'a rough answer in under a minute')
    .addOption(json())
    .action(acting('bench', () => import('./commands/bench.ts')))
}

export async function main(argv: readonly string[], version: string): Promise<void> {
  watchOutput(argv[2] ?? '')
  const program = createProgram(version, argv[2])
  try {
    await program.parseAsync([...argv])
  } catch (error) {
    // commander has printed it already; help and version end here too.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE
    else throw error
  }
}
