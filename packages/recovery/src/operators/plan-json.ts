/** A plan out of the JSON of a signed one. Format: spec/operators.md §2; the fields are those of spec/recovery.md §2. */
import {
  type Decode,
  hexText,
  integer,
  list,
  nullable,
  object,
  oneOf,
  refused,
  text as anyText,
} from '@reprise/host/decode'
import { RESETTABLE_PCRS } from '../plan/boots.ts'
import { DURATION_MS_MAX, NAME, type TextForm } from '../plan/fields.ts'
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
  SERVICE_NAMES_MAX,
  SERVICES_MAX,
  VERSION_MAX,
  WITNESSES_MAX,
} from '../plan/forms.ts'
import type {
  BreakGlass,
  FaultDomain,
  OperatorKey,
  Plan,
  PlanBoot,
  PlanRegister,
  Readiness,
  RecoveryPolicy,
  Roster,
  RosterHost,
  Service,
} from '../types.ts'

const TEXT_MAX = 4096

function formed({ form, words }: TextForm): Decode<string> {
  const decode = anyText(TEXT_MAX)
  return (value, path) => {
    const found = decode(value, path)
    if (!form.test(found)) throw refused(path, words)
    return found
  }
}

/** What is null in JSON is undefined in a plan. */
function known<T>(decode: Decode<T>): Decode<T | undefined> {
  const orNull = nullable(decode)
  return (value, path) => orNull(value, path) ?? undefined
}

export const planName = formed(NAME)
const point = formed(POINT)
const durationMs = integer(1, DURATION_MS_MAX)

const domain = object<FaultDomain>({ zone: planName, room: planName, rack: planName, pdu: planName })
const host = object<RosterHost>({
  id: planName,
  address: formed(ADDRESS),
  domain,
  ak: known(formed(AK)),
  state: oneOf('active', 'expunged'),
  approvals: known(integer(1, APPROVALS_MAX)),
  hardware: known(formed(HARDWARE)),
})
const roster = object<Roster>({ version: integer(1, VERSION_MAX), hosts: list(host, HOSTS_MAX) })

const share: Decode<number> = (value, path) => {
  if (typeof value === 'number' && value > 0 && value < 1) return value
  throw refused(path, 'a number above 0 and below 1')
}
const policy = object<RecoveryPolicy>({
  witnesses: integer(2, WITNESSES_MAX),
  threshold: integer(2, WITNESSES_MAX),
  leaseMs: durationMs,
  resetBudget: integer(1, 1000),
  roundTripMarginMs: durationMs,
  perPdu: integer(1, WITNESSES_MAX),
  perRoom: integer(1, WITNESSES_MAX),
  ownZone: integer(0, WITNESSES_MAX),
  theftOdds: share,
  deadClocks: oneOf('wall', 'refuse'),
})

type ReadyBy<Kind extends Readiness['kind']> = Readiness & { readonly kind: Kind }
const readiness: { readonly [Kind in Readiness['kind']]: Decode<ReadyBy<Kind>> } = {
  started: object<ReadyBy<'started'>>({ kind: oneOf('started') }),
  notify: object<ReadyBy<'notify'>>({ kind: oneOf('notify'), withinMs: durationMs }),
  port: object<ReadyBy<'port'>>({ kind: oneOf('port'), port: integer(1, 65_535), withinMs: durationMs }),
  file: object<ReadyBy<'file'>>({ kind: oneOf('file'), path: formed(ABSOLUTE), withinMs: durationMs }),
}
const readyKind = oneOf('started', 'notify', 'port', 'file')
const ready: Decode<Readiness> = (value, path) => {
  const kind = readyKind((value as { kind?: unknown } | null)?.kind, `${path}.kind`)
  return readiness[kind](value, path)
}
const names = list(planName, SERVICE_NAMES_MAX)
const service = object<Service>({ name: planName, after: names, ready, credentials: names })

const operator = object<OperatorKey>({ name: planName, publicKey: point, escrow: known(point) })
export const breakGlass = object<BreakGlass>({ needed: integer(0, OPERATORS_MAX), keys: list(operator, OPERATORS_MAX) })

const register = object<PlanRegister>({ pcr: integer(0, PCR_MAX), value: hexText(32) })
const ascending: Decode<readonly PlanRegister[]> = (value, path) => {
  const registers = list(register, PCR_MAX + 1 - RESETTABLE_PCRS.length)(value, path)
  const at = registers.findIndex(({ pcr }, i) => i > 0 && pcr <= registers[i - 1].pcr)
  if (at >= 0) throw refused(`${path}[${at}].pcr`, 'above the one before')
  return registers
}
const boot = object<PlanBoot>({ name: planName, registers: ascending, hosts: known(list(planName, HOSTS_MAX)) })

/** Each field by itself; what they are to each other is for checkPlan. */
export const decodePlan = object<Plan>({
  fleet: planName,
  mode: oneOf('quorum', 'tpm-only'),
  roster,
  policy,
  longestOutageMs: durationMs,
  services: list(service, SERVICES_MAX),
  breakGlass,
  boots: list(boot, BOOTS_MAX),
  cap: register,
  approver: known(point),
  imageSigners: list(point, IMAGE_SIGNERS_MAX),
})
