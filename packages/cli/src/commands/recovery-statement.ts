/** `reprise recovery revoke`, `extend`, `permit`: statements that operators sign together, each on a machine of their own. */
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
  /** Of `permit`: which host, and for how long, in milliseconds. */
  readonly by?: string
  readonly for?: number
  readonly json?: boolean
}

const PERMITTED_MS = 86_400_000

/** @param kind - Which command it is. */
export async function makeStatement(kind: Statement['kind'], options: object, host: string): Promise<number> {
  const given = options as Options
  const { plan: planPath, output, by, json = false } = given
  const { plan } = await readSignedPlanFile(planPath)
  const there = await readIfThere(output, STATEMENT_BYTES_MAX)
  const before = there && (await naming(output, there, (content) => parseStatement(content, plan)))
  const statement = before?.statement ?? newStatement(kind, host, { ...given, fleet: plan.fleet })
  if (statement.kind !== kind || statement.host !== host || (statement.kind === 'delivery' && statement.by !== by))
    throw new RecoveryError('USAGE', {
      message: `${output} is there already: a ${statement.kind} of ${statement.host}`,
      hint: 'name another file with -o',
    })
  const times = (['age', 'from', 'for'] as const).filter((name) => given[name] !== undefined)
  if (before !== undefined && times.length > 0)
    throw new RecoveryError('USAGE', {
      message: `${output} says its times already`,
      hint: `leave --${times.join(' and --')} out to sign it as it is, or begin another file`,
    })
  // The name of the host is checked before anybody types a passphrase.
  const unsigned = { statement, signatures: before?.signatures ?? [] }
  await naming(output, encodeStatement(unsigned), (content) => parseStatement(content, plan))
  const signed = signStatement(unsigned, await openKeyFile(given), plan)
  await writeFileWhole(output, encodeStatement(signed))
  report(signed, { signers: plan.breakGlass, output, json })
  return EXIT_YES
}

function newStatement(
  kind: Statement['kind'],
  host: string,
  of: Pick<Options, 'age' | 'from' | 'by' | 'for'> & { readonly fleet: string },
): Statement {
  const { fleet, age = 0, from = Date.now(), by = '', for: forMs = PERMITTED_MS } = of
  const madeMs = Date.now()
  switch (kind) {
    case 'revocation':
      return { kind, fleet, host, madeMs }
    case 'extension':
      return { kind, fleet, host, fromMs: from, ageMs: age }
    case 'delivery':
      return { kind, fleet, host, by, madeMs, untilMs: madeMs + forMs }
  }
}

function statementWords(statement: Statement): string {
  const { kind, host } = statement
  switch (kind) {
    case 'revocation':
      return `revocation of ${host}`
    case 'extension':
      return `the lease of ${host} was ${statement.ageMs / 1000} s old at ${new Date(statement.fromMs).toISOString()}`
    case 'delivery':
      return `${statement.by} may deliver to ${host}, once, until ${new Date(statement.untilMs).toISOString()}`
  }
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
  line(statementWords(statement))
  line(`  ${signersWords(signers, signatures)}`)
  line(`  wrote ${output}`)
}
