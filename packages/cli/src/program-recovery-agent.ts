/** The commands of a host's own agent: `reprise recovery provision|witness|boot|rotate|host|stop`. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { acting } from './acting.ts'

const STATE = '/var/lib/reprise/recovery'
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function duration(text: string): number {
  const [, digits, unit] = /^([1-9]\d{0,6})(ms|s|m|h|d)$/.exec(text) ?? []
  const valueMs = Number(digits) * UNITS_MS[unit]
  // What setTimeout bears.
  if (!(valueMs <= 24 * UNITS_MS['d']))
    throw new InvalidArgumentError('a duration such as 30s, 10m or 8h is wanted, at most 24d')
  return valueMs
}

/** Help shows the default as it would be typed. */
function timed(flags: string, description: string, usually: string): Option {
  return new Option(flags, description).argParser(duration).default(duration(usually), usually)
}

function registers(text: string): readonly number[] {
  const found = text.split(',').map((word) => (/^\d{1,2}$/.test(word) ? Number(word) : 99))
  if (found.length > 24 || new Set(found).size < found.length || found.some((pcr) => pcr > 23))
    throw new InvalidArgumentError('registers from 0 to 23 are wanted, such as 4,7')
  return found
}

/** `NAME=FILE`, several times. */
function named(text: string, before: readonly { name: string; path: string }[] = []) {
  const at = text.indexOf('=')
  const [name, path] = [text.slice(0, at), text.slice(at + 1)]
  if (at < 0 || path === '' || !/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/.test(name))
    throw new InvalidArgumentError('NAME=FILE is wanted')
  return [...before, { name, path }]
}

function versioned(text: string, before: readonly { version: number; path: string }[] = []) {
  const [, version, path] = /^([1-9]\d{0,8})=(.+)$/.exec(text) ?? []
  if (path === undefined) throw new InvalidArgumentError('VERSION=FILE is wanted')
  return [...before, { version: Number(version), path }]
}

export function addAgent(recovery: Command): void {
  const command = (name: string, description: string): Command =>
    recovery
      .command(name)
      .description(description)
      .option('--state <folder>', 'where the agent of the host keeps what it knows', STATE)
      .addOption(new Option('--json', 'answer with one JSON document to a line on stdout'))
  const withAgent = (each: Command): Command =>
    each
      .option('--listen <address>', 'host:port, or a port, where other hosts reach it (default: as the plan has it)')
      .addOption(timed('--heartbeat <time>', 'between two heartbeats', '10m'))
      .option('--image <file>', 'an image to load once the host is released')
      .option('--memory <folder>', 'where the image is decrypted to: a tmpfs', '/dev/shm')
      .addOption(timed('--observe <time>', 'how long a host that is looked at is waited for', '1s'))
  withAgent(command('provision', 'make the keys of a host and its offer; or, with the signed plan, its first secret'))
    .option('--fleet <name>', 'for an offer: the fleet')
    .option('--host <name>', 'for an offer: the name of this host in the plan')
    .option('--offer <file>', 'where to write the offer, for whoever writes the plan')
    .option('--tpm <path>', 'for an offer: a device, or the folder of a software TPM (default: /dev/tpmrm0)')
    .addOption(
      new Option('--registers <list>', 'for an offer: what an approved boot of this host shall have')
        .argParser(registers)
        .default([4, 7], '4,7'),
    )
    .option('--plan <file>', 'the signed plan')
    .option('--pin <digest>', 'the digest of the only plan that is taken')
    .option('--credential <name=file>', 'a credential of the services; may be given again', named)
    .option('--image-key <version=file>', 'the key of an image version, 32 bytes; may be given again', versioned)
    .option('--to <host>', 'deliver that to another host of the fleet instead, as operators permitted it')
    .option('--permit <file>', 'with --to: what they signed (reprise recovery permit)')
    .option('--round-trip <time>', 'with --to: how far away it may be (default: as the plan has it)', duration)
    .addOption(timed('--timeout <time>', 'with --to: when to give up; it can be said again', '2m'))
    .option('--no-wait', 'leave it to the agent to go on when enough witnesses answer')
    .action(acting('recovery provision', () => import('./commands/recovery-provision.ts')))
  withAgent(command('witness', 'the agent of this host, in the foreground: it serves others, and asks for itself'))
    .option('--plan <file>', 'a signed plan to begin with; a host that has a newer one keeps that')
    .option(
      '--board <host:port>',
      'serve a page of how the fleet stands, without a password: 127.0.0.1:8480 for this machine alone',
    )
    .action(acting('recovery witness', () => import('./commands/recovery-witness.ts')))
  withAgent(command('boot', 'come back: start the agent unless it runs, and say how the release goes'))
    .addOption(timed('--timeout <time>', 'give up waiting; the agent goes on', '10m'))
    .option('--no-start', 'wait for an agent that something else starts, such as its unit')
    .action(acting('recovery boot', () => import('./commands/recovery-boot.ts')))
  command('take', 'hand a signed plan, or a statement of operators, to the agent of this host and so to all')
    .argument('<file>', 'what operators signed')
    .action(acting('recovery take', () => import('./commands/recovery-take.ts')))
  command('rotate', 'draw new halves now, and hand out their shares')
    .addOption(timed('--timeout <time>', 'give up waiting; the agent goes on', '2m'))
    .action(acting('recovery rotate', () => import('./commands/recovery-rotate.ts')))
  command('host', 'how this host stands, as its agent says').action(
    acting('recovery host', () => import('./commands/recovery-host.ts')),
  )
  command('stop', 'end the agent in an orderly way, as at a shutdown').action(
    acting('recovery stop', () => import('./commands/recovery-stop.ts')),
  )
  addRelease(recovery)
}

/** Beside what an operator does of it. */
function addRelease(recovery: Command): void {
  const release =
    recovery.commands.find((each) => each.name() === 'release') ??
    recovery.command('release').description('release a host by its operators, once (break-glass)')
  const ofHost = (each: Command): Command =>
    each
      .option('--state <folder>', 'where the agent of the host keeps what it knows', STATE)
      .addOption(new Option('--json', 'answer with one JSON document on stdout'))
  ofHost(release.command('request').description('on a host that waits: what its operators have to sign'))
    .requiredOption('-o, --output <file>', 'the request, for the operators')
    .option('--expires <time>', 'until when they may sign, from now on', duration, 3_600_000)
    .action(acting('recovery release request', () => import('./commands/recovery-release-request.ts')))
  ofHost(release.command('use').description('on the host that waits: release it by what its operators signed'))
    .argument('<statement...>', 'what they signed')
    .action(acting('recovery release use', () => import('./commands/recovery-release-use.ts')))
}
