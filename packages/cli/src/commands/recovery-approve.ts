/** `reprise recovery approve`: the next version of a signed plan, with boots more or less; operators sign it. */
import {
  changeBoots,
  encodeSignedPlan,
  followingPlan,
  JSON_BYTES_MAX,
  keepApprovals,
  planChanges,
  readBoots,
  signApprovals,
  signPlan,
  signersOf,
  parseSignedPlan,
  approvalsMissing,
} from '@reprise/recovery/operators'
import { RecoveryError } from '@reprise/recovery'
import { hex } from '@reprise/core'
import { EXIT_YES } from '../exit.ts'
import { count, safe } from '../print/format.ts'
import {
  type KeyOptions,
  openKeyFile,
  planWords,
  readSignedPlanFile,
  readWhole,
  refuseExisting,
  signersWords,
  writeFileWhole,
} from '../recovery-operators.ts'

interface Options extends KeyOptions {
  readonly boots?: string
  readonly remove?: readonly string[]
  readonly output: string
  readonly json?: boolean
}

export async function action(options: object, [path]: readonly string[]): Promise<number> {
  const { boots, remove = [], output, json = false, ...keys } = options as Options
  if (boots === undefined && remove.length === 0)
    throw new RecoveryError('USAGE', {
      message: 'nothing is to be approved and nothing to be taken back',
      hint: 'name a file of boots with --boots (preflight writes one), or a boot with --remove',
    })
  await refuseExisting(output, 'name another file: the plan that hosts have stays as it is')
  const previous = await readSignedPlanFile(path)
  const add = boots === undefined ? [] : readBoots(await readWhole(boots, JSON_BYTES_MAX), boots)
  const changed = changeBoots(previous.plan, { add, remove })
  // Read again, so that what is wrong with it is said now and not by a host.
  const next = keepApprovals(parseSignedPlan(encodeSignedPlan(followingPlan(changed, previous))), previous)
  const signed = keys.key === undefined ? next : await signWith(next, { ...keys, key: keys.key })
  await writeFileWhole(output, encodeSignedPlan(signed))
  const changes = planChanges(previous.plan, signed.plan)
  const missing = approvalsMissing(signed)
  if (json) {
    const { fleet, roster } = signed.plan
    const answer = {
      ...{ fleet, version: roster.version, digest: hex(signed.digest), changes, output },
      signatures: signed.signatures.map(({ operator }) => operator),
      approvalsMissing: missing.map(({ host, boot }) => ({ host, boot })),
    }
    process.stdout.write(`${JSON.stringify({ schema: 'reprise/recovery-approve-result/v1', ...answer })}\n`)
    return EXIT_YES
  }
  const line = (text: string): void => void process.stdout.write(`${safe(text)}\n`)
  const signs = { added: '+', removed: '-', changed: '~' } as const
  line(planWords(signed))
  for (const { kind, text } of changes) line(`  ${signs[kind]} ${text}`)
  line(`  ${signersWords(signersOf(signed), signed.signatures)}`)
  if (missing.length > 0) line(`  ${count(missing.length, 'approval')} for shares missing: the approver signs too`)
  line(`  wrote ${output}`)
  line(`  next: reprise recovery sign ${output} --key KEY`)
  return EXIT_YES
}

async function signWith(
  next: ReturnType<typeof parseSignedPlan>,
  keys: KeyOptions & { readonly key: string },
): Promise<typeof next> {
  const key = await openKeyFile(keys)
  return next.plan.approver === key.point ? signApprovals(next, key) : signPlan(next, key)
}
