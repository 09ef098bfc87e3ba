/** A plan from its YAML text. Format: spec/recovery.md §2; what the parts mean to each other is check.ts. */
import { LineCounter, parseAllDocuments, type Document } from 'yaml'
import { RecoveryError } from '../error.ts'
import type {
  BreakGlass,
  OperatorKey,
  Plan,
  PlanBoot,
  PlanRegister,
  Readiness,
  RecoveryPolicy,
  RosterHost,
  Service,
} from '../types.ts'
import { CAP_DEFAULT } from './boots.ts'
import { checkPlan } from './check.ts'
import {
  choice,
  duration,
  mapping,
  NAME,
  note,
  odds,
  pathText,
  sequence,
  text,
  whole,
  type Fields,
  type Path,
  type Problem,
} from './fields.ts'
import {
  ABSOLUTE,
  ADDRESS,
  AK,
  APPROVALS_MAX,
  BOOTS_MAX,
  HARDWARE,
  HOSTS_MAX,
  IMAGE_SIGNERS_MAX,
  OPERATORS_MAX,
  PCR_MAX,
  POINT,
  REGISTER,
  SERVICE_NAMES_MAX,
  SERVICES_MAX,
  VERSION_MAX,
  WITNESSES_MAX,
} from './forms.ts'

export const PLAN_BYTES_MAX = 32 << 20
const PROBLEMS_SHOWN_MAX = 20
const PCRS = Array.from({ length: PCR_MAX + 1 }, (_, pcr) => String(pcr))

/**
 * @param bytes - The file, at most {@link PLAN_BYTES_MAX}.
 * @param shown - Its name in messages.
 * @throws RecoveryError `PLAN` with all mistakes, each with its line and what would mend it.
 */
export function readPlan(bytes: Uint8Array, shown: string): Plan {
  const lines = new LineCounter()
  const document = parse(bytes, shown, lines)
  const fields: Fields = { problems: [] }
  const plan = planOf(fields, valueOf(document, shown))
  // What belongs together is only looked at when each part is right: else one mistake brings forth others.
  const problems = fields.problems.length > 0 ? fields.problems : checkPlan(plan)
  if (problems.length > 0) throw planError(problems, shown, (path) => lineOf(document, lines, path))
  return plan
}

function parse(bytes: Uint8Array, shown: string, lines: LineCounter): Document.Parsed {
  const syntax = (what: string, hint: string, line?: number): RecoveryError =>
    planError([{ code: 'SYNTAX', path: [], what, hint }], shown, () => line)
  if (bytes.length > PLAN_BYTES_MAX)
    throw syntax(`longer than ${PLAN_BYTES_MAX} bytes`, 'split the fleet into several plans')
  let source: string
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw syntax('it is not UTF-8 text', 'save it as UTF-8')
  }
  let documents
  try {
    documents = parseAllDocuments(source, { lineCounter: lines, prettyErrors: false, stringKeys: true, version: '1.2' })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw syntax('the nesting is too deep', 'a plan has no more than four levels')
  }
  if (documents.length !== 1)
    throw syntax(documents.length === 0 ? 'the file is empty' : 'there are several documents', 'write one plan a file')
  const [document] = documents
  const [mistake] = [...document.errors, ...document.warnings]
  if (mistake !== undefined)
    throw syntax(mistake.message, 'compare with the example in docs/recovery.md', lines.linePos(mistake.pos[0]).line)
  return document
}

function valueOf(document: Document.Parsed, shown: string): unknown {
  try {
    // One alias to another is how a small file becomes a large one.
    return document.toJS({ maxAliasCount: 0 })
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error
    const hint = 'write out what *name stands for; text that begins with * wants quotation marks'
    throw planError([{ code: 'SYNTAX', path: [], what: 'it has an alias', hint }], shown, () => undefined)
  }
}

function planError(
  problems: readonly Problem[],
  shown: string,
  line: (path: Path) => number | undefined,
): RecoveryError {
  const placed = problems.map((problem) => ({ ...problem, path: pathText(problem.path), line: line(problem.path) }))
  const texts = placed.slice(0, PROBLEMS_SHOWN_MAX).map(({ code, what, hint, line }) => {
    return `${shown}${line === undefined ? '' : `:${line}`}: ${code}: ${what}; ${hint}`
  })
  if (placed.length > PROBLEMS_SHOWN_MAX) texts.push(`and ${placed.length - PROBLEMS_SHOWN_MAX} more`)
  return new RecoveryError('PLAN', {
    message: texts.join('\n'),
    hint: 'mend the plan; docs/recovery.md has a whole one',
    data: { problems: placed },
  })
}

/** Of the innermost part of the path that is there. */
function lineOf(document: Document.Parsed, lines: LineCounter, path: Path): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] | null } | undefined
    if (node?.range) return lines.linePos(node.range[0]).line
  }
  return undefined
}

const PLAN_MEMBERS = [
  'fleet',
  'version',
  'mode',
  'longestOutage',
  'policy',
  'hosts',
  'services',
  'breakGlass',
  'boots',
  'cap',
  'approver',
  'imageSigners',
]

function planOf(fields: Fields, value: unknown): Plan {
  const content = mapping(fields, value, [], PLAN_MEMBERS)
  const hosts = sequence(fields, content['hosts'], ['hosts'], HOSTS_MAX).map((host, i) => hostOf(fields, host, i))
  if (content['hosts'] === undefined)
    note(fields, 'FIELD', ['hosts'], 'hosts is missing', 'list the hosts of the fleet')
  return {
    fleet: text(fields, content['fleet'], ['fleet'], NAME),
    mode: choice(fields, content['mode'], ['mode'], { of: ['quorum', 'tpm-only'], otherwise: 'quorum' }),
    roster: {
      version: whole(fields, content['version'], ['version'], { least: 1, most: VERSION_MAX, otherwise: undefined }),
      hosts,
    },
    policy: policyOf(fields, content['policy'] ?? {}, hosts),
    longestOutageMs: duration(fields, content['longestOutage'], ['longestOutage'], undefined),
    services: sequence(fields, content['services'], ['services'], SERVICES_MAX).map((service, i) =>
      serviceOf(fields, service, i),
    ),
    breakGlass: breakGlassOf(fields, content['breakGlass']),
    boots: sequence(fields, content['boots'], ['boots'], BOOTS_MAX).map((boot, i) => bootOf(fields, boot, i)),
    cap: content['cap'] === undefined ? CAP_DEFAULT : capOf(fields, content['cap']),
    approver: content['approver'] === undefined ? undefined : text(fields, content['approver'], ['approver'], POINT),
    imageSigners: sequence(fields, content['imageSigners'], ['imageSigners'], IMAGE_SIGNERS_MAX).map((key, i) =>
      text(fields, key, ['imageSigners', i], POINT),
    ),
  }
}

function bootOf(fields: Fields, value: unknown, index: number): PlanBoot {
  const path: Path = ['boots', index]
  const content = mapping(fields, value, path, ['name', 'registers', 'hosts'])
  const at: Path = [...path, 'registers']
  const values = mapping(fields, content['registers'], at, PCRS)
  const hosts = (): readonly string[] =>
    sequence(fields, content['hosts'], [...path, 'hosts'], HOSTS_MAX).map((name, i) =>
      text(fields, name, [...path, 'hosts', i], NAME),
    )
  return {
    name: text(fields, content['name'], [...path, 'name'], NAME),
    // Names that look like integers come in ascending order.
    registers: Object.keys(values)
      .filter((pcr) => PCRS.includes(pcr))
      .map((pcr) => ({ pcr: Number(pcr), value: text(fields, values[pcr], [...at, pcr], REGISTER) })),
    hosts: content['hosts'] === undefined ? undefined : hosts(),
  }
}

function capOf(fields: Fields, value: unknown): PlanRegister {
  const content = mapping(fields, value, ['cap'], ['register', 'value'])
  const range = { least: 0, most: PCR_MAX, otherwise: CAP_DEFAULT.pcr }
  return {
    pcr: whole(fields, content['register'], ['cap', 'register'], range),
    value:
      content['value'] === undefined ? CAP_DEFAULT.value : text(fields, content['value'], ['cap', 'value'], REGISTER),
  }
}

function policyOf(fields: Fields, value: unknown, hosts: readonly RosterHost[]): RecoveryPolicy {
  const known = [
    'witnesses',
    'threshold',
    'lease',
    'resets',
    'roundTrip',
    'perPdu',
    'perRoom',
    'ownZone',
    'theft',
    'deadClocks',
  ]
  const content = mapping(fields, value, ['policy'], known)
  const at = (name: string): Path => ['policy', name]
  const number = (name: string, least: number, most: number, otherwise: number): number =>
    whole(fields, content[name], at(name), { least, most, otherwise })
  const witnesses = number('witnesses', 2, WITNESSES_MAX, 15)
  const zones = new Set(hosts.map(({ domain }) => domain.zone)).size
  return {
    witnesses,
    threshold: number('threshold', 2, WITNESSES_MAX, 5),
    leaseMs: duration(fields, content['lease'], at('lease'), 24 * 3_600_000),
    resetBudget: number('resets', 1, 1000, 6),
    roundTripMarginMs: duration(fields, content['roundTrip'], at('roundTrip'), 5),
    perPdu: number('perPdu', 1, WITNESSES_MAX, 1),
    perRoom: number('perRoom', 1, WITNESSES_MAX, 2),
    // With one zone there is nowhere else; with several, fewer than half in the own one leave the others the majority.
    ownZone: number('ownZone', 0, WITNESSES_MAX, zones > 1 ? witnesses >> 1 : witnesses),
    theftOdds: odds(fields, content['theft'], at('theft'), 0.02),
    deadClocks: choice(fields, content['deadClocks'], at('deadClocks'), { of: ['wall', 'refuse'], otherwise: 'wall' }),
  }
}

function hostOf(fields: Fields, value: unknown, index: number): RosterHost {
  const path: Path = ['hosts', index]
  const known = ['name', 'address', 'zone', 'room', 'rack', 'pdu', 'ak', 'state', 'hardware', 'approvals']
  const content = mapping(fields, value, path, known)
  const name = (member: string): string => text(fields, content[member], [...path, member], NAME)
  return {
    id: name('name'),
    address: text(fields, content['address'], [...path, 'address'], ADDRESS),
    domain: { zone: name('zone'), room: name('room'), rack: name('rack'), pdu: name('pdu') },
    ak: content['ak'] === undefined ? undefined : text(fields, content['ak'], [...path, 'ak'], AK),
    state: choice(fields, content['state'], [...path, 'state'], { of: ['active', 'expunged'], otherwise: 'active' }),
    approvals:
      content['approvals'] === undefined
        ? undefined
        : whole(fields, content['approvals'], [...path, 'approvals'], {
            least: 1,
            most: APPROVALS_MAX,
            otherwise: undefined,
          }),
    hardware:
      content['hardware'] === undefined
        ? undefined
        : text(fields, content['hardware'], [...path, 'hardware'], HARDWARE),
  }
}

function serviceOf(fields: Fields, value: unknown, index: number): Service {
  const path: Path = ['services', index]
  const content = mapping(fields, value, path, ['name', 'after', 'ready', 'credentials'])
  const names = (member: string): readonly string[] =>
    sequence(fields, content[member], [...path, member], SERVICE_NAMES_MAX).map((name, i) =>
      text(fields, name, [...path, member, i], NAME),
    )
  return {
    name: text(fields, content['name'], [...path, 'name'], NAME),
    after: names('after'),
    ready: readinessOf(fields, content['ready'] ?? 'started', [...path, 'ready']),
    credentials: names('credentials'),
  }
}

/** `started`, `notify`, or a mapping with `port` or `file`; `within` is how long readiness may take. */
function readinessOf(fields: Fields, value: unknown, path: Path): Readiness {
  const withinMs = 60_000
  if (value === 'started') return { kind: 'started' }
  if (value === 'notify') return { kind: 'notify', withinMs }
  const content = mapping(fields, value, path, ['notify', 'port', 'file', 'within'])
  const within = duration(fields, content['within'], [...path, 'within'], withinMs)
  const kinds = ['notify', 'port', 'file'].filter((kind) => content[kind] !== undefined)
  if (kinds.length !== 1) {
    note(
      fields,
      'FIELD',
      path,
      `${pathText(path)} says no one kind of readiness`,
      'write started, notify, or a mapping with either port or file',
    )
    return { kind: 'started' }
  }
  if (kinds[0] === 'port')
    return {
      kind: 'port',
      port: whole(fields, content['port'], [...path, 'port'], { least: 1, most: 65_535, otherwise: undefined }),
      withinMs: within,
    }
  if (kinds[0] === 'file')
    return { kind: 'file', path: text(fields, content['file'], [...path, 'file'], ABSOLUTE), withinMs: within }
  if (content['notify'] !== true)
    note(fields, 'FIELD', [...path, 'notify'], `${pathText(path)}.notify is not true`, 'write notify: true')
  return { kind: 'notify', withinMs: within }
}

function breakGlassOf(fields: Fields, value: unknown): BreakGlass {
  if (value === undefined) return { needed: 0, keys: [] }
  const content = mapping(fields, value, ['breakGlass'], ['needed', 'keys'])
  const keys = sequence(fields, content['keys'], ['breakGlass', 'keys'], OPERATORS_MAX).map((key, i): OperatorKey => {
    const path: Path = ['breakGlass', 'keys', i]
    const members = mapping(fields, key, path, ['name', 'key', 'escrow'])
    return {
      name: text(fields, members['name'], [...path, 'name'], NAME),
      publicKey: text(fields, members['key'], [...path, 'key'], POINT),
      escrow: members['escrow'] === undefined ? undefined : text(fields, members['escrow'], [...path, 'escrow'], POINT),
    }
  })
  const needed = whole(fields, content['needed'], ['breakGlass', 'needed'], {
    least: 1,
    most: OPERATORS_MAX,
    otherwise: undefined,
  })
  return { needed, keys }
}
