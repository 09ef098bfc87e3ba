/** The commands of the people who run a fleet: keys, signed plans, statements, audits. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { acting } from './acting.ts'

const json = (): Option => new Option('--json', 'answer with one JSON document on stdout')
export const passphrase = (): Option =>
  new Option(
    '--passphrase-file <file>',
    'whose first line is the passphrase of the key (default: it is asked for)',
  ).env('REPRISE_PASSPHRASE_FILE')
const key = (): Option => new Option('--key <file>', 'your key')
const plan = (): Option => new Option('--plan <file>', 'the newest signed plan').makeOptionMandatory()
const output = (what: string): Option => new Option('-o, --output <file>', what)

function list(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function age(text: string): number {
  const [, digits, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? []
  const value = Number(digits) * UNITS_MS[unit]
  if (!(value <= 365 * UNITS_MS['d'])) throw new InvalidArgumentError('a duration such as 0s, 30m or 8h is wanted')
  return value
}

function moment(text: string): number {
  const value = Date.parse(text)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)$/.test(text) || !(value >= 0))
    throw new InvalidArgumentError('a time with its zone such as 2026-11-26T09:15Z is wanted')
  return value
}

function lines(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a number of lines is wanted')
  return Number(text)
}

export function addOperators(recovery: Command): void {
  addKeys(recovery)
  addPlans(recovery)
  addStatements(recovery)
  addLooking(recovery)
}

function addKeys(recovery: Command): void {
  const keys = recovery.command('keys').description('keys of people: operators, the approver, whoever signs images')
  keys
    .command('new')
    .description('make a key in a file that only you can read, and print what the plan needs of it')
    .argument('<name>', 'of its owner, as the plan will have it')
    .addOption(output('the file of the key').makeOptionMandatory())
    .addOption(
      new Option('--as <role>', 'what it is for').choices(['operator', 'approver', 'image-signer']).default('operator'),
    )
    .option('--escrow <file>', 'also a key that shares in escrow are encrypted to, in another file')
    .option('--passphrase', 'ask for a passphrase, and encrypt with it')
    .addOption(passphrase())
    .addOption(json())
    .action(acting('recovery keys new', () => import('./commands/recovery-keys-new.ts')))
  keys
    .command('show')
    .description('the public part of a key')
    .argument('<file>', 'the key')
    .addOption(passphrase())
    .addOption(json())
    .action(acting('recovery keys show', () => import('./commands/recovery-keys-show.ts')))
}

function addPlans(recovery: Command): void {
  recovery
    .command('sign')
    .description('sign a plan: one in YAML together with what hosts offered, or one that others signed already')
    .argument('<plan>', 'in YAML, or signed')
    .addOption(key().makeOptionMandatory())
    .addOption(passphrase())
    .option('--offers <folder>', 'of what hosts offered when they were provisioned')
    .option('--previous <file>', 'the signed plan before it; what the YAML leaves out is taken from there')
    .addOption(
      new Option(
        '--trust <policy>',
        'the authorities that you believe what a TPM is: a trust policy, or the root certificate of one; may be given again',
      ).argParser(list),
    )
    .addOption(output('where the signed plan goes (default for a signed one: where it is)'))
    .addOption(json())
    .action(acting('recovery sign', () => import('./commands/recovery-sign.ts')))
  recovery
    .command('approve')
    .description('the next version of a signed plan, with boots more or less; operators sign it')
    .argument('<plan>', 'the newest signed plan')
    .option('--boots <file>', 'boots to approve, as preflight writes them')
    .addOption(
      new Option('--remove <boot>', 'take a boot back, and the approvals made for it; may be given again').argParser(
        list,
      ),
    )
    .addOption(key())
    .addOption(passphrase())
    .addOption(output('where the next version goes').makeOptionMandatory())
    .addOption(json())
    .action(acting('recovery approve', () => import('./commands/recovery-approve.ts')))
}

function addStatements(recovery: Command): void {
  const statement = (command: Command): Command =>
    command
      .argument('<host>', 'its name in the plan')
      .addOption(plan())
      .addOption(key().makeOptionMandatory())
      .addOption(passphrase())
      .addOption(output('the statement; one that is there already is signed by you too').makeOptionMandatory())
      .addOption(json())
  statement(
    recovery
      .command('revoke')
      .description('state that nothing is released to a host any more: it was stolen, or is lost'),
  ).action(acting('recovery revoke', () => import('./commands/recovery-revoke.ts')))
  statement(recovery.command('extend').description('state that the lease of a host counts anew, as a heartbeat does'))
    .option('--age <time>', 'how old the lease was then (default: 0s)', age)
    .option('--from <time>', 'when that was (default: now)', moment)
    .action(acting('recovery extend', () => import('./commands/recovery-extend.ts')))
  statement(
    recovery.command('permit').description('permit another host to deliver credentials and image keys to a host, once'),
  )
    .requiredOption('--by <host>', 'which host may')
    .option('--for <time>', 'from now on (default: 1d)', age)
    .action(acting('recovery permit', () => import('./commands/recovery-permit.ts')))
  const release = recovery.command('release').description('release a host by its operators, once (break-glass)')
  release
    .command('sign')
    .description('answer a host that waits: sign for its session, and send your share in escrow back to it')
    .argument('<request>', 'the file that the host wrote')
    .addOption(plan())
    .addOption(key().makeOptionMandatory())
    .option('--escrow-key <file>', 'your escrow key')
    .addOption(passphrase())
    .addOption(output('your answer, for the host').makeOptionMandatory())
    .addOption(json())
    .action(acting('recovery release sign', () => import('./commands/recovery-release-sign.ts')))
}

function addLooking(recovery: Command): void {
  recovery
    .command('audit')
    .description('verify the audit logs of hosts, each by itself and beside each other, and tell what happened')
    .argument('<logs...>', 'files, or folders of files that end in .jsonl')
    .addOption(
      new Option('--plan <file>', 'a signed plan whose keys count; again for each that was in force').argParser(list),
    )
    .option(
      '--gathered <time>',
      'when copying the logs began: what hosts wrote later need not be in all of them',
      moment,
    )
    .option('--lines <n>', 'the last lines of the story', lines, 100)
    .addOption(json())
    .action(acting('recovery audit', () => import('./commands/recovery-audit.ts')))
  recovery
    .command('preflight')
    .description('which hosts would not unseal after an update of firmware or system, and what to approve before it')
    .requiredOption('--firmware <file>', 'the components of the update with their digests')
    .option('--log <file>', 'an event log of the present boot', '/sys/kernel/security/tpm0/binary_bios_measurements')
    .option('--plan <file>', 'the newest signed plan')
    .addOption(output('boots for approve'))
    .addOption(json())
    .action(acting('recovery preflight', () => import('./commands/recovery-preflight.ts')))
}
