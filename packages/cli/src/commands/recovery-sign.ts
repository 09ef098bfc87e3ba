/** `reprise recovery sign`: a plan with what hosts offered, signed by one more of those who must. */
import { hex } from '@reprise/core'
import type { Certificate } from '@reprise/core/certificates'
import { readPlan, RecoveryError, type Plan } from '@reprise/recovery'
import {
  approvalsMissing,
  carryOver,
  type CheckedOffer,
  checkOffer,
  encodeSignedPlan,
  followingPlan,
  isSignedPlan,
  keepApprovals,
  mergeOffers,
  OFFER_BYTES_MAX,
  parseSignedPlan,
  type PersonKey,
  type PlanChange,
  planChanges,
  signApprovals,
  SIGNED_PLAN_BYTES_MAX,
  signaturesMissing,
  type SignedPlan,
  signersOf,
  signPlan,
} from '@reprise/recovery/operators'
import { EXIT_YES } from '../exit.ts'
import { advise, count, safe } from '../print/format.ts'
import {
  filesOf,
  type KeyOptions,
  naming,
  openKeyFile,
  planWords,
  readIfThere,
  readSignedPlanFile,
  readWhole,
  signersWords,
  writeFileWhole,
} from '../recovery-operators.ts'
import { trustOf } from '../trust.ts'

const NAMES_SHOWN = 5

interface Options extends KeyOptions {
  readonly key: string
  readonly output?: string
  readonly offers?: string
  readonly previous?: string
  readonly trust?: readonly string[]
  readonly json?: boolean
}

export async function action(options: object, [path]: readonly string[]): Promise<number> {
  const given = options as Options
  const content = await readWhole(path, SIGNED_PLAN_BYTES_MAX)
  const key = await openKeyFile(given)
  const previous = given.previous === undefined ? undefined : await readSignedPlanFile(given.previous)
  const isSigned = isSignedPlan(content)
  const output = given.output ?? (isSigned ? path : undefined)
  if (output === undefined)
    throw new RecoveryError('USAGE', { message: 'where the signed plan goes is not said', hint: 'add -o FILE' })
  if (isSigned && (given.offers !== undefined || previous !== undefined))
    throw new RecoveryError('USAGE', {
      message: `${path} is a signed plan: nothing is merged into it any more`,
      hint: '--offers and --previous belong to a plan in YAML',
    })
  const offers = await readOffers(given)
  const drafted = isSigned
    ? await naming(path, content, parseSignedPlan)
    : await draft(readPlan(content, path), { offers, previous, output })
  const signed = signWith(drafted, key)
  await writeFileWhole(output, encodeSignedPlan(signed))
  report(signed, { changes: planChanges(previous?.plan, signed.plan), offers, output, isDraft: !isSigned, given })
  return EXIT_YES
}

async function readOffers({ offers, trust }: Options): Promise<readonly CheckedOffer[]> {
  if (offers === undefined) return []
  const authorities: readonly Certificate[] = trust === undefined ? [] : (await trustOf(trust)).authorities
  const checked: CheckedOffer[] = []
  for (const path of await filesOf(offers, '.json'))
    checked.push(await checkOffer(await readWhole(path, OFFER_BYTES_MAX), path, authorities))
  if (checked.length > 0) return checked
  throw new RecoveryError('OFFER', {
    message: `${offers} has no file that ends in .json`,
    hint: 'gather there the files that reprise recovery provision made, one for each host',
  })
}

/** What is signed, with what others signed of it already. */
async function draft(
  plan: Plan,
  {
    offers,
    previous,
    output,
  }: {
    readonly offers: readonly CheckedOffer[]
    readonly previous: SignedPlan | undefined
    readonly output: string
  },
): Promise<SignedPlan> {
  const before = previous?.plan
  const merged =
    offers.length > 0 ? mergeOffers(plan, offers, before) : before === undefined ? plan : carryOver(plan, before)
  const next = followingPlan(readableAgain(merged), previous)
  const kept = previous === undefined ? next : keepApprovals(next, previous)
  const there = await readIfThere(output, SIGNED_PLAN_BYTES_MAX)
  if (there === undefined) return kept
  const other = isSignedPlan(there) ? await naming(output, there, parseSignedPlan) : undefined
  if (other !== undefined && hex(other.digest) === hex(kept.digest)) return other
  throw new RecoveryError('USAGE', {
    message: `${output} is there already, and is not this plan`,
    hint: 'name another file with -o; a plan that others signed as it is now is signed by: reprise recovery sign FILE --key KEY',
  })
}

/** The merged plan is checked as a whole, as whoever gets it will check it. */
function readableAgain(plan: Plan): Plan {
  return parseSignedPlan(encodeSignedPlan(followingPlan(plan, undefined))).plan
}

/** A key does what the plan knows it for: an operator's signs the plan, the approver's the approvals. */
function signWith(signed: SignedPlan, key: PersonKey): SignedPlan {
  const isApprover = signed.plan.approver === key.point
  const isOperator = signersOf(signed).keys.some(({ publicKey }) => publicKey === key.point)
  if (!isApprover) return signPlan(signed, key)
  return signApprovals(isOperator ? signPlan(signed, key) : signed, key)
}

interface Report {
  readonly changes: readonly PlanChange[]
  readonly offers: readonly CheckedOffer[]
  readonly output: string
  /** It was made just now, so that there is something to say of what changed. */
  readonly isDraft: boolean
  readonly given: Options
}

function report(signed: SignedPlan, { changes, offers, output, isDraft, given }: Report): void {
  const missing = approvalsMissing(keepApprovals(signed, signed))
  if (given.json === true) {
    const answer = {
      fleet: signed.plan.fleet,
      version: signed.plan.roster.version,
      digest: hex(signed.digest),
      signatures: signed.signatures.map(({ operator }) => operator),
      signaturesMissing: signaturesMissing(signed),
      approvals: signed.approvals.length,
      approvalsMissing: missing.map(({ host, boot }) => ({ host, boot })),
      ...(isDraft && { changes, offers: offers.map(({ offer, tier }) => ({ host: offer.host, ...tier })) }),
      output,
    }
    process.stdout.write(`${JSON.stringify({ schema: 'reprise/recovery-sign-result/v1', ...answer })}\n`)
    return
  }
  const line = (text: string): void => void process.stdout.write(`${safe(text)}\n`)
  line(planWords(signed))
  const signs = { added: '+', removed: '-', changed: '~' } as const
  if (isDraft) for (const { kind, text } of changes) line(`  ${signs[kind]} ${text}`)
  noteUnproven(offers)
  line(`  ${signersWords(signersOf(signed), signed.signatures)}`)
  line(
    `  ${count(signed.approvals.length, 'approval')} for shares${missing.length === 0 ? '' : `, ${missing.length} missing: the approver signs too, with the same command`}`,
  )
  line(`  wrote ${output}`)
}

/** One note for all hosts of which the same is to be said. */
function noteUnproven(offers: readonly CheckedOffer[]): void {
  const hosts = new Map<string, string[]>()
  for (const { offer, tier } of offers)
    if (tier.kind === 'unproven') hosts.set(tier.why, [...(hosts.get(tier.why) ?? []), offer.host])
  for (const [why, names] of hosts) {
    const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : ''
    advise(`${names.slice(0, NAMES_SHOWN).join(', ')}${more}: ${why}`)
  }
}
