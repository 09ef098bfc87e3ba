/** What a computation may demand of the host that runs it. Format: spec/computation.md §7. */
import { type Tier, TIERS } from '../certificates/tier.ts'
import { bankLengthBytes, PCR_COUNT } from '../event-log/bank.ts'
import { decodeEventLogRules } from '../event-log/decode-rules.ts'
import type { EventLogRule } from '../event-log/rules.ts'
import { digest, fields, isObject, list, oneOf, wrong } from '../record/shape.ts'

export const ENGINES_MAX = 4096

export interface HostRules {
  /** The lowest that is enough. */
  readonly tier?: Tier
  /** Values by register, hex. */
  readonly pcrs?: { readonly sha256: Readonly<Record<string, string>> }
  readonly eventLog?: readonly EventLogRule[]
  /** SHA-256 of engines and Node binaries, hex: those that may have run on the host since its TPM was started. */
  readonly engines?: readonly string[]
  /** What becomes of a run whose host ceases to meet them. */
  readonly onChange: 'stop' | 'record'
}

const DEMANDS = ['engines', 'eventLog', 'pcrs', 'tier'] as const

/**
 * @param value - Parsed JSON; nobody else may change it afterwards.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong.
 */
export function decodeHostRules(value: unknown, path = '$'): HostRules {
  const given = DEMANDS.filter((name) => isObject(value) && Object.hasOwn(value, name))
  const rules: Readonly<Record<string, unknown>> = fields(value, path, [...given, 'onChange'])
  if (given.length === 0) throw wrong(path, 'demands nothing')
  const has = (name: (typeof DEMANDS)[number]): boolean => given.includes(name)
  return {
    ...(has('engines') && { engines: decodeEngines(rules['engines'], `${path}.engines`) }),
    ...(has('eventLog') && { eventLog: decodeDemandedRules(rules['eventLog'], `${path}.eventLog`) }),
    onChange: oneOf(rules['onChange'], `${path}.onChange`, ['record', 'stop']),
    ...(has('pcrs') && { pcrs: decodePcrs(rules['pcrs'], `${path}.pcrs`) }),
    ...(has('tier') && { tier: oneOf(rules['tier'], `${path}.tier`, TIERS) }),
  }
}

/** No engine meets an empty list. */
function decodeEngines(value: unknown, path: string): readonly string[] {
  const engines = list(value, path, ENGINES_MAX, digest)
  if (engines.length === 0) throw wrong(path, 'is empty: no engine could be listed')
  return engines
}

/** A record quotes registers of SHA-256 alone, so a rule for another bank could never be met. */
function decodeDemandedRules(value: unknown, path: string): readonly EventLogRule[] {
  const rules = decodeEventLogRules(value, path)
  if (rules.length === 0) throw wrong(path, 'is empty')
  for (const [i, rule] of rules.entries()) {
    if (rule.kind === 'pcr' && rule.bank !== 'sha256')
      throw wrong(`${path}[${i}].bank`, 'is not sha256, the one bank that records quote')
  }
  return rules
}

const PCR_HEX_LENGTH = 2 * bankLengthBytes('sha256')

function decodePcrs(value: unknown, path: string): NonNullable<HostRules['pcrs']> {
  const { sha256 } = fields(value, path, ['sha256'])
  if (!isObject(sha256)) throw wrong(`${path}.sha256`, 'is not an object')
  const entries = Object.entries(sha256)
  if (entries.length === 0) throw wrong(`${path}.sha256`, 'is empty')
  return {
    sha256: Object.fromEntries(
      entries.map(([pcr, item]) => {
        const at = `${path}.sha256.${pcr.slice(0, 64)}`
        if (!/^(0|[1-9][0-9]?)$/.test(pcr) || Number(pcr) >= PCR_COUNT) throw wrong(at, 'is no register from 0 to 23')
        if (typeof item !== 'string' || item.length !== PCR_HEX_LENGTH) throw wrong(at, 'is not 64 hex digits')
        return [pcr, digest(item, at)]
      }),
    ),
  }
}
