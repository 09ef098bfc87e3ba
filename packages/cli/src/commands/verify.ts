/** `reprise verify`: offline, of one record or many. */
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { tellPowerChange, type AttemptHost, type Finding, type VerifyResult } from '@reprise/core'
import {
  readHostRules,
  recordsIn,
  runtimeOf,
  verifyFile as verifyFileBy,
  verifyFiles,
  type VerifyPolicy,
} from '@reprise/runner'
import { EXIT_NO, EXIT_UNKNOWN, EXIT_USAGE, EXIT_YES } from '../exit.ts'
import { describeFailure, failureAnswer, printFailure } from '../print/failure.ts'
import { count, paint, safe, short } from '../print/format.ts'
import { progressLine } from '../print/progress.ts'
import { weakestLink } from '../print/tier.ts'
import { trustOf } from '../trust.ts'

interface PolicyOptions {
  readonly trust?: readonly string[]
  readonly requireEnrolment?: boolean
  /** A file. */
  readonly hostRules?: string
}

interface VerifyCommandOptions extends PolicyOptions {
  readonly json?: boolean
  readonly jobs?: number
}

const EXITS = { verified: EXIT_YES, refuted: EXIT_NO, unverifiable: EXIT_UNKNOWN } as const

export async function action(options: object, named: readonly string[]): Promise<number> {
  const { json = false, jobs = availableParallelism(), ...given } = options as VerifyCommandOptions
  const policy = await policyOf(given)
  const paths = await recordsIn(named)
  const [first] = paths
  // One that was named itself is answered by itself; of a folder, even of one record, comes a list.
  if (named.length === 1 && first === named[0]) {
    const result = await verifyOne(first, policy)
    if (json) printJson(answer(first, result))
    else printVerdict(first, result)
    return EXITS[result.evidence]
  }
  return await verifyMany(paths, { policy, jobs, json })
}

async function verifyMany(
  paths: readonly string[],
  { policy, jobs, json }: { readonly policy: VerifyPolicy; readonly jobs: number; readonly json: boolean },
): Promise<number> {
  const results: object[] = []
  const codes = new Set<number>()
  const progress = progressLine()
  let done = 0
  // Of verdicts that come together: a write takes as long as a good part of a small record.
  let text = ''
  const print = (): void => {
    if (text !== '') process.stdout.write(text)
    text = ''
  }
  for await (const verdicts of verifyFiles(paths, { policy, jobs })) {
    if (!json) progress.clear()
    for (const verdict of verdicts) {
      if (verdict.kind === 'verified') {
        codes.add(EXITS[verdict.result.evidence])
        if (json) results.push(answer(verdict.path, verdict.result))
        else text += verdictText(verdict.path, verdict.result)
      } else {
        // The others are answered all the same.
        const failure = describeFailure(verdict.error, 'verify')
        codes.add(failure.exitCode)
        print()
        if (json) results.push({ ...failureAnswer(failure), record: verdict.path })
        else printFailure(failure, json)
      }
    }
    print()
    done += verdicts.length
    progress.show(`verified ${done} of ${count(paths.length, 'record')}`)
  }
  progress.clear()
  if (json) printJson({ schema: 'reprise/verify-results/v1', results })
  // One refuted record outweighs any number that could not be judged.
  return [EXIT_NO, EXIT_USAGE, EXIT_UNKNOWN].find((code) => codes.has(code)) ?? EXIT_YES
}

function printJson(document: object): void {
  process.stdout.write(`${JSON.stringify(document)}\n`)
}

/** Read once, for all records. */
async function policyOf({ trust, requireEnrolment, hostRules }: PolicyOptions): Promise<VerifyPolicy> {
  return {
    nowMs: Date.now(),
    ...(trust !== undefined && { trust: await trustOf(trust) }),
    ...(requireEnrolment === true && { requireEnrolment }),
    ...(hostRules !== undefined && { hostRules: await readHostRules(resolve(hostRules), hostRules) }),
  }
}

/** @param options - As the command has them. */
export async function verifyFile(path: string, options: PolicyOptions = {}): Promise<VerifyResult> {
  return await verifyOne(path, await policyOf(options))
}

async function verifyOne(path: string, policy: VerifyPolicy): Promise<VerifyResult> {
  const progress = progressLine()
  return await verifyFileBy(path, policy, {
    onProgress: ({ checkpoints, attestations }) =>
      progress.show(`verifying ${path}: ${count(checkpoints, 'checkpoint')}, ${count(attestations, 'attestation')}`),
  }).finally(() => progress.clear())
}

export function answer(path: string, result: VerifyResult): object {
  const { evidence, tier, measurer, enrolment, checkpoints, attestations, findings, notChecked, document } = result
  return {
    schema: 'reprise/verify-result/v1',
    record: path,
    evidence,
    repetition: 'not-repeated',
    tier,
    measurer,
    measurerWhy: result.measurerWhy,
    enrolment,
    checkpoints,
    signedCheckpoints: result.signedCheckpoints,
    attestations,
    snapshots: result.snapshots,
    unsignedSnapshots: result.unsignedSnapshots,
    segments: { ...result.segments, repeated: 0 },
    attached: result.attached,
    confidence: 0,
    computation: result.computationId,
    run: result.runId,
    cumulative: result.cumulative,
    attestationKeys: result.akNames,
    hosts: result.hosts,
    attempts: result.attempts,
    start: startAnswer(result),
    exactness: result.exactness,
    criteria: document?.computation.success ?? [],
    powerChanges: result.powerChanges.map((change) => ({ ...change, told: tellPowerChange(change) })),
    counts: result.counts,
    findings,
    notChecked,
  }
}

function startAnswer({ start, document }: VerifyResult): object | null {
  if (start?.kind !== 'warm' || document === null) return start
  return { ...start, runtime: runtimeOf(document.computation)?.title ?? null, repeated: false }
}

const COLOURS = { verified: 'green', refuted: 'red', unverifiable: 'yellow' } as const

export function printVerdict(path: string, result: VerifyResult): void {
  process.stdout.write(verdictText(path, result))
}

function verdictText(path: string, result: VerifyResult): string {
  return `${verdictLines(path, result).join('\n')}\n`
}

function verdictLines(path: string, result: VerifyResult): readonly string[] {
  const lines: string[] = []
  const line = (text: string): void => void lines.push(text)
  const { evidence, findings, document } = result
  const word = paint(COLOURS[evidence], evidence, process.stdout)
  if (evidence === 'refuted') {
    const [first, ...others] = findings.filter(({ severity }) => severity === 'refutes')
    line(`${word}   ${first?.code}   ${safe(path)}`)
    for (const finding of first === undefined ? [] : [first, ...others]) line(findingText(finding))
    return lines
  }
  const self = findings.some(({ code }) => code === 'SELF_ENROLLED') ? '   SELF_ENROLLED' : ''
  line(`${word}, not repeated${self}   ${safe(path)}   ${result.cumulative === null ? '' : short(result.cumulative)}`)
  line(`  ${weakestLink(result.tier, enrolmentOf(result))}`)
  for (const host of result.hosts) if (host.enrolment === 'authority') line(`  ${enrolledHost(host)}`)
  line(`  ${count(result.checkpoints, 'checkpoint')}, ${count(result.attestations, 'attestation')}${startedAt(result)}`)
  if (result.signedCheckpoints < result.checkpoints)
    line(
      `  signed: the first ${result.signedCheckpoints} of them; the rest, and any outcome, is only what the file says`,
    )
  for (const words of powerLines(result)) line(`  ${words}`)
  // Who enrolled itself is told already; by whom another one was certified is not.
  const isEnrolledElsewhere = enrolmentOf(result) !== 'self'
  for (const finding of findings)
    if (finding.code !== 'SELF_ENROLLED' || isEnrolledElsewhere) line(findingText(finding))
  if (result.measurer !== 'unmeasured') line(`  measured (${result.measurer}): ${result.measurerWhy}`)
  for (const host of result.attempts) for (const text of hostLines(host)) line(`  ${safe(text)}`)
  if (result.snapshots > 0) line(`  ${segmentsLine(result)}`)
  if (document !== null) line(`  success would be: ${document.computation.success.map(criterion).join('; ')}`)
  line(`  not checked: ${result.notChecked.map(({ what }) => what).join(', ')}`)
  return lines
}

/** A host without certificates enrolled itself; another one did not, whether or not the reader trusts who certified it. */
function enrolmentOf({ enrolment, hosts, document }: VerifyResult): Parameters<typeof weakestLink>[1] {
  const isCertified = document?.hosts.every(({ certificates }) => certificates.length > 0) === true
  const isKnown = hosts.every((host) => host.enrolment === 'authority' || host.authority !== null)
  return enrolment === 'self' && isCertified && !isKnown ? 'elsewhere' : enrolment
}

/** Of many power cycles, as of a laptop that sleeps, these are told one by one. */
const POWER_LINES_MAX = 8

function powerLines({ powerChanges, counts }: VerifyResult): string[] {
  const told = powerChanges.slice(0, POWER_LINES_MAX).map(tellPowerChange)
  const more = powerChanges.length - told.length
  if (more > 0) told.push(`and ${count(more, 'power cycle')} more`)
  for (const { host, others } of counts) {
    if (others === '0') continue
    const what = others === '1' ? 'one attempt or power cycle' : `${others} attempts or power cycles`
    told.push(`host ${host} counted ${what} meanwhile that ${others === '1' ? 'is' : 'are'} not of this record`)
  }
  return told
}

function enrolledHost({ name, authority, tier }: VerifyResult['hosts'][number]): string {
  return `host ${safe(name ?? '')}, ${tier} TPM, by the word of ${safe(authority ?? '')}`
}

/** In a line or two, where there is more than the host's own word. */
function hostLines({ attempt, boot, rules }: AttemptHost): readonly string[] {
  const lines: string[] = []
  if (boot.kind === 'read') {
    const { secureBoot } = boot.facts
    const secure = secureBoot.known ? `Secure Boot ${secureBoot.value}` : `Secure Boot unknown (${secureBoot.why})`
    lines.push(`attempt ${attempt} booted with ${secure}; reprise show has the rest`)
  }
  const met = rules.filter(({ answer }) => answer === 'met').length
  if (rules.length > 0)
    lines.push(
      `attempt ${attempt} began on a host that met ${met} of the ${count(rules.length, 'rule')} of the computation`,
    )
  return lines
}

function segmentsLine({ segments: { total }, attached: { segments } }: VerifyResult): string {
  const others = total - segments.length
  const parts = count(total, 'segment')
  if (others === 0)
    return `${parts}, ${total === 1 ? '' : 'each '}with its snapshot in the record: reprise repeat --segments`
  return `${parts}; the record carries the snapshots of ${ranges(segments)}, ${others === 1 ? 'the other is' : `the other ${others} are`} only named in it`
}

/** `0, 3 to 5` */
function ranges(numbers: readonly number[]): string {
  const found: [number, number][] = []
  for (const number of numbers) {
    const last = found.at(-1)
    if (last !== undefined && last[1] + 1 === number) last[1] = number
    else found.push([number, number])
  }
  return found.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`)).join(', ')
}

export function criterion(
  item: { readonly checkpoints: 'exact' } | { readonly output: string; readonly compare: { readonly kind: string } },
): string {
  return 'checkpoints' in item ? 'every checkpoint equal' : `${safe(item.output)} equal as ${item.compare.kind}`
}

function startedAt({ document }: VerifyResult): string {
  const started = document?.attempts[0]?.environment.startedAt
  return started === undefined ? '' : `, ${started} (the host's own clock)`
}

function findingText({ code, message, path, hint }: Finding): string {
  return `  ${code}: ${safe(message)}${path === '' ? '' : ` (${safe(path)})`}\n    ${safe(hint)}`
}
