/** The commands of an authority: `reprise authority …`. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { acting } from './acting.ts'

const json = (): Option => new Option('--json', 'answer with one JSON document on stdout')
const home = (): Option =>
  new Option('--home <folder>', 'the folder of the authority (default: authority in REPRISE_HOME)')
const passphrase = (): Option =>
  new Option('--passphrase-file <file>', "whose first line opens the authority's key").env('REPRISE_PASSPHRASE_FILE')
const output = (what: string): Option => new Option('-o, --output <file>', what)

function days(text: string): number {
  const value = Number(text)
  if (!/^\d{1,5}$/.test(text) || value < 1 || value > 10_000)
    throw new InvalidArgumentError('a number of days is wanted')
  return value
}

function seconds(text: string): number {
  const value = Number(text)
  if (!/^\d{1,5}$/.test(text) || value < 1 || value > 86_400)
    throw new InvalidArgumentError('a number of seconds is wanted')
  return value
}

function perMinute(text: string): number {
  const value = Number(text)
  if (!/^\d{1,6}$/.test(text) || value < 1) throw new InvalidArgumentError('a number is wanted')
  return value
}

function list(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}

/** What decides who gets a certificate. What is not given stays as it was. */
function withPolicy(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--approve <who>',
        'who is approved unasked: nobody (manual, at first), endorsement keys that are known (see allow), or every TPM of that tier or above',
      ).choices(['manual', 'known', 'software', 'firmware', 'hardware']),
    )
    .addOption(
      new Option('--min-tier <tier>', 'refuse TPMs below (at first software)').choices([
        'software',
        'firmware',
        'hardware',
      ]),
    )
    .option('--names <pattern>', 'what hosts may be called; * stands for any characters')
    .addOption(
      new Option(
        '--same-ek <what>',
        'a second attestation key of one TPM: ask the operator (at first; the first key is revoked then), keep both, or refuse',
      ).choices(['ask', 'keep', 'refuse']),
    )
    .option('--certificate-days <n>', 'how long certificates hold (at first 365)', days)
    .option('--challenge-seconds <n>', 'how long a host may take to answer a challenge (at first 300)', seconds)
    .addOption(
      new Option(
        '--ek-root <tier=file>',
        "a root of endorsement certificates that you know, besides the makers' own; may be given again",
      ).argParser(list),
    )
}

export function addAuthority(program: Command): void {
  const authority = program.command('authority').description('an authority that enrols hosts')
  authority
    .command('init')
    .description('make an authority: its key and its root certificate')
    .option('--name <name>', 'what its root certificate calls it', 'Reprise authority')
    .addOption(
      new Option('--key <place>', 'where its key is: in a file, or in a TPM (of this machine, else a software one)')
        .choices(['file', 'tpm', 'tpm-device', 'tpm-software'])
        .default('file'),
    )
    .addOption(home())
    .addOption(passphrase())
    .addOption(json())
    .action(acting('authority init', () => import('./commands/authority-init.ts')))
  withPolicy(authority.command('serve').description('enrol hosts over HTTP, until it is stopped'))
    .option('--listen <host:port>', 'where to listen', '127.0.0.1:8470')
    .option('--per-minute <n>', 'challenges that one address may ask for in the long run', perMinute, 10)
    .addOption(home())
    .addOption(passphrase())
    .addOption(json())
    .action(acting('authority serve', () => import('./commands/authority-serve.ts')))
  withPolicy(authority.command('policy').description('who gets a certificate: shows it, and changes what is given'))
    .addOption(home())
    .addOption(json())
    .action(acting('authority policy', () => import('./commands/authority-policy.ts')))
  addDecisions(authority)
  addFiles(authority)
  addReports(authority)
}

function addDecisions(authority: Command): void {
  const decide = () => import('./commands/authority-decide.ts')
  authority
    .command('approve')
    .description('give a host that waits its certificate')
    .argument('<request>', 'the beginning of its id (see list)')
    .option('--name <name>', 'call the host so, instead of what it asked for')
    .addOption(output('also write the certificate to a file, for a host that is not on the network'))
    .addOption(home())
    .addOption(passphrase())
    .addOption(json())
    .action(acting('authority approve', async () => ({ action: (await decide()).approve })))
  authority
    .command('reject')
    .description('tell a host that waits that it gets none')
    .argument('<request>', 'the beginning of its id (see list)')
    .option('--reason <text>', 'what it is told', 'the operator said no')
    .addOption(home())
    .addOption(json())
    .action(acting('authority reject', async () => ({ action: (await decide()).reject })))
  authority
    .command('revoke')
    .description('take certificates back, and sign a new revocation list')
    .argument('<name>', 'the name of a host, a serial number, or the Name of an attestation key')
    .addOption(
      new Option('--reason <reason>', 'why')
        .choices(['unspecified', 'keyCompromise', 'superseded', 'cessationOfOperation'])
        .default('unspecified'),
    )
    .addOption(home())
    .addOption(passphrase())
    .addOption(json())
    .action(acting('authority revoke', async () => ({ action: (await decide()).revoke })))
  authority
    .command('allow')
    .description('put an endorsement key on the list of those that --approve known approves')
    .argument('<ek>', 'its Name (see host show), or the SHA-256 of its certificate, in hex')
    .option('--name <name>', 'what its host must be called')
    .option('--remove', 'take it off the list')
    .addOption(home())
    .addOption(json())
    .action(acting('authority allow', async () => ({ action: (await decide()).allow })))
}

function addFiles(authority: Command): void {
  const files = () => import('./commands/authority-files.ts')
  authority
    .command('challenge')
    .description('answer the request file of a host that is not on the network with a challenge file')
    .argument('<request-file>')
    .addOption(output('the challenge file to write').makeOptionMandatory())
    .option('--days <n>', 'how long the host may take to answer', days, 7)
    .addOption(home())
    .addOption(json())
    .action(acting('authority challenge', async () => ({ action: (await files()).challenge })))
  authority
    .command('certify')
    .description("check a host's answer file, and write its certificate file once it is approved")
    .argument('<answer-file>')
    .addOption(output('the certificate file to write').makeOptionMandatory())
    .addOption(home())
    .addOption(passphrase())
    .addOption(json())
    .action(acting('authority certify', async () => ({ action: (await files()).certify })))
}

function addReports(authority: Command): void {
  const reports = () => import('./commands/authority-show.ts')
  authority
    .command('show')
    .description('its fingerprint, its key, its root, how many hosts it knows')
    .addOption(home())
    .addOption(json())
    .action(acting('authority show', async () => ({ action: (await reports()).show })))
  authority
    .command('list')
    .description('hosts that wait, and certificates that hold')
    .option('--all', 'also what is over: rejected, failed, expired, revoked')
    .addOption(home())
    .addOption(json())
    .action(acting('authority list', async () => ({ action: (await reports()).list })))
  authority
    .command('revocations')
    .description('the signed revocation list, made anew when it is old')
    .addOption(output('the file to write (default: stdout)'))
    .addOption(home())
    .addOption(passphrase())
    .action(acting('authority revocations', async () => ({ action: (await reports()).revocations })))
  authority
    .command('audit')
    .description('check the log: that no line was changed, and that every certificate is as it says')
    .option('--since <head>', 'a head that you noted earlier: nothing before it was changed or cut off')
    .addOption(home())
    .addOption(json())
    .action(acting('authority audit', async () => ({ action: (await reports()).audit })))
}
