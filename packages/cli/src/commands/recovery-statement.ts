/** `reprise recovery revoke`, `extend`: statements that operators sign together, each on a machine of their own. */
import { hex } from '@reprise/core'
import { RecoveryError } from '@reprise/recovery'
import {
  encodeStatement,
  parseStatement,
  type SignedStatement,
  signStatement,
  type Statement,
  STATEMENT_BYTES_MAX,
} from '@reprise/recovery/operators'
import { EXIT_YES } from '../exit.ts'
import { safe } from '../print/format.ts'
import {
  type KeyOptions,
  naming,
  openKeyFile,
  readIfThere,
  readSignedPlanFile,
  signersWords,
  writeFileWhole,
} from '../recovery-operators.ts'

interface Options extends KeyOptions {
  readonly plan: string
  readonly key: string
  readonly output: string
  /** Of `extend`, in milliseconds. */
  readonly age?: number
  readonly from?: number
  readonly json?: boolean
}

/** @param kind - Which command it is. */
export async function makeStatement(kind: Statement['kind'], options: object, host: string): Promise<number> {
  const { plan: planPath, output, age, from, json = false, ...keys } = options as Options
  const { plan } = await readSignedPlanFile(planPath)
  const there = await readIfThere(output, STATEMENT_BYTES_MAX)
  const before = there && (await naming(output, there, (content) => parseStatement(content, plan)))
  const statement = before?.statement ?? newStatement(kind, { fleet: plan.fleet, host, age, from })
  if (statement.kind !== kind || statement.host !== host)
    throw new RecoveryError('USAGE', {
      message: `${output} is there already: a ${statement.kind} of ${statement.host}`,
      hint: 'name another file with -o',
    })
  if (before !== undefined && (age !== undefined || from !== undefined))
    throw new RecoveryError('USAGE', {
      message: `${output} says already how old the lease was, and when`,
      hint: 'leave --age and --from out to sign it as it is, or begin another file',
    })
  // The name of the host is checked before anybody types a passphrase.
  const unsigned = { statement, signatures: before?.signatures ?? [] }
  await naming(output, encodeStatement(unsigned), (content) => parseStatement(content, plan))
  const signed = signStatement(unsigned, await openKeyFile(keys), plan)
  await writeFileWhole(output, encodeStatement(signed))
  report(signed, { signers: plan.breakGlass, output, json })
  return EXIT_YES
}

function newStatement(
  kind: Statement['kind'],
  of: {
    readonly fleet: string
    readonly host: string
    readonly age?: number | undefined
    readonly from?: number | undefined
  },
): Statement {
  const { fleet, host, age = 0, from = Date.now() } = of
  return kind === 'revocation'
    ? { kind, fleet, host, madeMs: Date.now() }
    : { kind, fleet, host, fromMs: from, ageMs: age }
}

function report(
  signed: SignedStatement,
  {
    signers,
    output,
    json,
  }: { readonly signers: Parameters<typeof signersWords>[0]; readonly output: string; readonly json: boolean },
): void {
  const { statement, signatures, digest } = signed
  if (json) {
    const answer = { statement, digest: hex(digest), signatures: signatures.map(({ operator }) => operator), output }
    process.stdout.write(`${JSON.stringify({ schema: 'reprise/recovery-statement-result/v1', ...answer })}\n`)
    return
  }
  const line = (text: string): void => void process.stdout.write(`${safe(text)}\n`)
  line(
    statement.kind === 'revocation'
      ? `revocation of ${statement.host}`
      : `the lease of ${statement.host} was ${statement.ageMs / 1000} s old at ${new Date(statement.fromMs).toISOString()}`,
  )
  line(`  ${signersWords(signers, signatures)}`)
  line(`  wrote ${output}`)
}
