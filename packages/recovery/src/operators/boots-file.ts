/** Boots in a file of their own: what `preflight` found and `approve` puts into the next plan. Format: spec/operators.md §7. */
import { fromUtf8, hex } from '@reprise/core'
import { bytes, type Decode, integer, list, object, oneOf, text } from '@reprise/host/decode'
import { RecoveryError } from '../error.ts'
import { RESETTABLE_PCRS } from '../plan/boots.ts'
import { NAME } from '../plan/fields.ts'
import { HOSTS_MAX, PCR_MAX } from '../plan/forms.ts'
import type { HostId, Plan, PlanBoot, PlanRegister } from '../types.ts'

/** Of files that people write or edit. */
export const JSON_BYTES_MAX = 16 << 20
const BOOTS_MAX = 64

/** JSON that people write: not canonical. */
export function decodeJson<T>(content: Uint8Array, shown: string, decode: Decode<T>): T {
  try {
    if (content.length > JSON_BYTES_MAX) throw new RangeError(`it has more than ${JSON_BYTES_MAX} bytes`)
    return decode(JSON.parse(fromUtf8(content)), 'file')
  } catch (cause) {
    throw unfit(`${shown} cannot be read: ${(cause as Error).message}`, 'docs/recovery.md has an example', cause)
  }
}

export function unfit(message: string, hint: string, cause?: unknown): RecoveryError {
  return new RecoveryError('COMPONENTS', { message, hint, cause })
}

const BOOTS = 'reprise/recovery-boots/v1'
const NAME_OF: Decode<string> = (value, path) => {
  const name = text(63)(value, path)
  if (NAME.form.test(name)) return name
  throw unfit(`${path} is ${JSON.stringify(name)}`, `write ${NAME.words}`)
}
const register = object<PlanRegister>({
  pcr: integer(0, PCR_MAX),
  value: (value, path) => hex(bytes(32)(value, path)),
})
const boot = object<PlanBoot>({
  name: NAME_OF,
  registers: list(register, PCR_MAX + 1 - RESETTABLE_PCRS.length),
  hosts: (value, path) => (value === null ? undefined : list(NAME_OF, HOSTS_MAX)(value, path)),
})
const bootsFile = object<{ schema: typeof BOOTS; boots: PlanBoot[] }>({
  schema: oneOf(BOOTS),
  boots: list(boot, BOOTS_MAX),
})

/** The file that `approve` takes. */
export function encodeBoots(boots: readonly PlanBoot[]): string {
  const whole = { schema: BOOTS, boots: boots.map((each) => ({ ...each, hosts: each.hosts ?? null })) }
  return `${JSON.stringify(whole, undefined, 2)}\n`
}

/** @throws {@link RecoveryError} `COMPONENTS`. */
export function readBoots(content: Uint8Array, shown: string): readonly PlanBoot[] {
  return decodeJson(content, shown, bootsFile).boots.map((each) => ({
    ...each,
    registers: each.registers.toSorted((a, b) => a.pcr - b.pcr),
  }))
}

/**
 * The next version of a plan: boots more, boots less. Where one is taken away, the approvals of its hosts get a new number,
 * so that the old ones open nothing any more.
 *
 * @throws {@link RecoveryError} `USAGE` for a name that is there already, or is not there.
 */
export function changeBoots(
  plan: Plan,
  { add, remove }: { readonly add: readonly PlanBoot[]; readonly remove: readonly string[] },
): Plan {
  const names = new Set(plan.boots.map(({ name }) => name))
  for (const { name } of add)
    if (names.has(name))
      throw new RecoveryError('USAGE', {
        message: `The plan has a boot ${name} already.`,
        hint: 'rename the new one in its file',
      })
  for (const name of remove)
    if (!names.has(name))
      throw new RecoveryError('USAGE', {
        message: `The plan has no boot ${name}.`,
        hint: `its boots are ${[...names].join(', ') || 'none'}`,
      })
  const removed = plan.boots.filter(({ name }) => remove.includes(name))
  const isHit = (host: HostId): boolean => removed.some(({ hosts }) => hosts === undefined || hosts.includes(host))
  const hosts = plan.roster.hosts.map((host) =>
    host.approvals !== undefined && isHit(host.id) ? { ...host, approvals: host.approvals + 1 } : host,
  )
  return {
    ...plan,
    roster: { version: plan.roster.version + 1, hosts },
    boots: [...plan.boots.filter((each) => !removed.includes(each)), ...add],
  }
}
