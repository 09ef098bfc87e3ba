/** The commands of host recovery: `reprise recovery …`. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { acting } from './acting.ts'
import { keepOutOfDumps } from './core-dumps.ts'
import { addAgent } from './program-recovery-agent.ts'
import { addRecoveryImage } from './program-recovery-image.ts'
import { addOperators } from './program-operators.ts'

const json = (): Option => new Option('--json', 'answer with one JSON document on stdout')

function within(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`a whole number from ${least} to ${most} is wanted`)
    return value
  }
}

/** `4%` or `0.04`. */
function part(text: string): number {
  const [, digits, percent] = /^(\d{1,3}(?:\.\d{1,6})?)(%?)$/.exec(text) ?? []
  const value = percent === '%' ? Number(digits) / 100 : Number(digits)
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError('a percentage from 0% to 100% is wanted')
  return value
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function duration(text: string): number {
  const [, digits, unit] = /^(\d{1,7})(ms|s|m|h|d)$/.exec(text) ?? []
  const valueMs = Number(digits) * UNITS_MS[unit]
  if (!(valueMs <= 30 * UNITS_MS['d']))
    throw new InvalidArgumentError('a duration such as 30s, 10m or 8h is wanted, at most 30d')
  return valueMs
}

export function addRecovery(program: Command): void {
  const recovery = program.command('recovery').description('plan how hosts come back after an outage, and try it out')
  // Keys of operators, halves, shares and image keys are in the memory of most of these.
  recovery.hook('preAction', keepOutOfDumps)
  recovery
    .command('plan')
    .description('check a plan, place the witnesses, and say what the fleet bears and what theft defeats it')
    .argument('<file>', 'the plan, in YAML')
    .option('--host <name>', "also this host's witnesses")
    .addOption(json())
    .action(acting('recovery plan', () => import('./commands/recovery-plan.ts')))
  addSimulate(recovery)
  addExplain(recovery)
  addStatus(recovery)
  addDrill(recovery)
  addRecoveryImage(recovery)
  addOperators(recovery)
  addAgent(recovery)
}

/** What makes a scenario. */
function withScenario(command: Command): Command {
  const places = ['none', 'host', 'rack', 'pdu', 'room', 'zone']
  return command
    .option('--plan <file>', 'the fleet of a plan (default: an even one of 4 zones, 16 rooms, 256 racks)')
    .option('--hosts <n>', 'how many hosts that even fleet has', within(256, 100_000), 10_240)
    .option('--seed <n>', 'what decides all chance; the same seed gives the same answer', within(0, 2 ** 40), 1)
    .addOption(new Option('--outage <what>', 'what loses power').choices([...places, 'fleet']))
    .option('--outages <n>', 'how many of them', within(1, 100_000))
    .option('--return-over <time>', 'over how long power comes back, one PDU at a time', duration)
    .option('--never <part>', 'hosts that never come back', part)
    .option('--slow <part>', 'hosts that take ten times as long to boot', part)
    .option('--flapping <part>', 'PDUs whose power goes twice more', part)
    .addOption(
      new Option('--gone <what>', 'one of these is gone for good').choices(['none', 'rack', 'pdu', 'room', 'zone']),
    )
    .addOption(new Option('--cut <what>', 'each of these is cut off from the others').choices(places))
    .option('--cut-for <time>', 'for how long', duration)
    .addOption(new Option('--stolen <what>', 'what is carried off').choices(places))
    .option('--thefts <n>', 'how many of them', within(1, 100_000))
    .option('--together', 'all by one thief, instead of each by another')
    .option('--theft-for <time>', 'how long until it is switched on elsewhere', duration)
    .option('--relay', 'what is stolen reaches the fleet, by a longer way')
    .option('--liars <part>', 'hosts that attest and say what would help a thief', part)
    .option('--loss <part>', 'messages that are lost', part)
    .option('--skew <time>', 'standard deviation of wall clocks', duration)
}

function addSimulate(recovery: Command): void {
  const simulate = recovery
    .command('simulate')
    .description('let a fleet lose power, hosts, or its network, and see who comes back; no TPM is needed')
    .argument('[scenario]', 'one of --list; what is given besides changes it', 'fleet-dark')
    .option('--list', 'the scenarios')
  withScenario(simulate)
    .option('--watch <time>', 'how long it is watched', duration)
    .option(
      '--attempts <n>',
      'instead: so many attempts of thieves, with a host, a rack or a room in turn',
      within(1, 100_000_000),
    )
    .option(
      '--first <n>',
      'with --attempts: number of the first one; so a long run is made in pieces',
      within(0, 1e9),
      0,
    )
    .option('--svg <file>', 'write the curves of the recovery')
    .addOption(json())
    .action(acting('recovery simulate', () => import('./commands/recovery-simulate.ts')))
}

function addExplain(recovery: Command): void {
  const explain = recovery
    .command('explain')
    .description('why a host of a simulation stands where it stands, and what would release it')
    .argument('<host>', 'such as z0-m0-k0-h0 in the even fleet')
    .argument('[scenario]', 'as of simulate', 'fleet-dark')
    .option('--at <time>', 'when, after the outage or the switching on of what was stolen', duration, 600_000)
  withScenario(explain)
    .addOption(json())
    .action(acting('recovery explain', () => import('./commands/recovery-explain.ts')))
}

function addStatus(recovery: Command): void {
  recovery
    .command('status')
    .description('how the fleet stands, as one of its hosts sees it: who waits for what, services, alarms')
    .option('--via <host:port>', 'where an agent serves its board (its --board)', '127.0.0.1:8480')
    .option('--watch', 'again and again, until it is interrupted')
    .addOption(json())
    .action(acting('recovery status', () => import('./commands/recovery-status.ts')))
}

function fourfold(text: string): number {
  const value = within(8, 48)(text)
  if (value % 4 !== 0) throw new InvalidArgumentError('a multiple of four is wanted')
  return value
}

function addDrill(recovery: Command): void {
  recovery
    .command('drill')
    .description(
      'a fleet on this machine loses its power, a rack is stolen, the others come back; or what a blackout would do',
    )
    .option('--local', 'the whole story with real agents and software TPMs on this machine, in about a minute')
    .option('--hosts <n>', 'how many of them, a multiple of four from 8 to 48', fourfold, 12)
    .option(
      '--folder <path>',
      'an empty folder for all of it, with a short path (default: a new one for temporary files)',
    )
    .option('--keep', 'leave that folder there')
    .option('--blackout <name>', 'a zone, room, rack, PDU or host of the plan that loses power')
    .option(
      '--dry-run',
      'only predict it, by the code that decides; without, it is then played by agents on this machine',
    )
    .option('--plan <file>', 'the plan')
    .option('--seed <n>', 'what decides all chance; the same seed gives the same answer', within(0, 2 ** 40), 1)
    .addOption(json())
    .action(acting('recovery drill', () => import('./commands/recovery-drill.ts')))
}
