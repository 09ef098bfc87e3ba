/** `reprise recovery take`: hands what operators signed to the agent of this host, which passes it on to the others. */
import { resolve } from 'node:path'
import { askAgent } from '@reprise/recovery/agent'
import { isSignedPlan, SIGNED_PLAN_BYTES_MAX } from '@reprise/recovery/operators'
import { EXIT_YES } from '../exit.ts'
import { safe } from '../print/format.ts'
import { readWhole } from '../recovery-operators.ts'

export async function action(options: object, [path]: readonly string[]): Promise<number> {
  const { state, json = false } = options as { readonly state: string; readonly json?: boolean }
  const kind = isSignedPlan(await readWhole(path, SIGNED_PLAN_BYTES_MAX)) ? 'plan' : 'statement'
  const done = await askAgent(state, { ask: kind, path: resolve(path) })
  const version = kind === 'plan' ? Number(done['planVersion']) : undefined
  process.stdout.write(
    json
      ? `${JSON.stringify({ schema: 'reprise/recovery-take-result/v1', kind, ...(version !== undefined && { version }) })}\n`
      : `taken   ${version === undefined ? 'a statement of operators' : `version ${version} of the plan`}   ${safe(path)}\n  other hosts hear of it from this one\n`,
  )
  return EXIT_YES
}
