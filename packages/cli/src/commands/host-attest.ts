/** `reprise host attest`: what this host shows, as a record would carry it, and which rules it meets. */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { allMet, evaluateHostRules, hex, showHost, type HostRuleAnswer } from '@reprise/core'
import { logPlaces } from '@reprise/host'
import { lookAtHost, nodeCrypto, readHostRules, tierOf, writeFailure } from '@reprise/runner'
import { createContext, openSigner } from '../context.ts'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { advise, paint, safe } from '../print/format.ts'
import { hostRows, ruleRow } from '../print/host.ts'
import { weakestLink } from '../print/tier.ts'

interface AttestOptions {
  readonly rules?: string
  readonly output?: string
  readonly json?: boolean
}

export async function action(options: object): Promise<number> {
  const { rules: path, output, json = false } = options as AttestOptions
  const rules = path === undefined ? undefined : await readHostRules(resolve(path), path)
  const context = createContext()
  await using opening = openSigner(context, advise)
  const signer = await opening.ready
  const look = await lookAtHost({ signer, home: context.home, rules, quote: true, signal: context.signal })
  const { quote } = look
  if (quote === undefined) throw new Error('a quote was asked for')
  const tier = await tierOf(signer.host)
  const { state, quoted, ima } = quote
  const answers = rules === undefined ? [] : evaluateHostRules(rules, { state, quoted, tier, hash: nodeCrypto.hash })
  const shown = showHost(state, ima)
  const document = {
    schema: 'reprise/host-attestation/v1',
    hostId: hex(signer.host.hostId),
    tier: tier.name,
    ak: hex(signer.host.akPublic),
    nonce: hex(quote.nonce),
    attest: hex(quote.attest),
    signature: hex(quote.signature),
    pcrs: { sha256: quote.pcrs },
    logs: look.found.map((log) =>
      'bytes' in log
        ? {
            kind: log.kind,
            source: log.source,
            lengthBytes: log.bytes.length,
            sha256: hex(nodeCrypto.sha256(log.bytes)),
          }
        : { kind: log.kind, leftOut: log.leftOut, why: log.why },
    ),
    ...shown,
    rules: answers,
  }
  const text = `${JSON.stringify(document, undefined, 2)}\n`
  if (output !== undefined)
    await writeFile(output, text).catch((error: unknown) => {
      throw writeFailure(error, output, 'the attestation')
    })
  if (json) process.stdout.write(`${JSON.stringify(document)}\n`)
  else
    print(
      {
        shown,
        answers,
        pcrs: quote.pcrs,
        tier: weakestLink(tier.name, signer.host.certificates.length > 0 ? 'authority' : 'self'),
      },
      logPlaces(signer.host.tpm.transport).boot?.source === 'user',
    )
  return allMet(answers) ? EXIT_YES : EXIT_NO
}

function print(
  host: {
    readonly shown: ReturnType<typeof showHost>
    readonly answers: readonly HostRuleAnswer[]
    readonly pcrs: Readonly<Record<string, string>>
    readonly tier: string
  },
  given: boolean,
): void {
  const { stdout } = process
  const line = (name: string, value: string): void => void stdout.write(`${name.padEnd(13)} ${safe(value)}\n`)
  line('tier', host.tier)
  for (const [name, value] of hostRows(host.shown, given)) line(name, value)
  for (const [pcr, value] of Object.entries(host.pcrs)) line(`PCR ${pcr}`, value)
  if (host.answers.length === 0) return
  stdout.write(`\n${paint('bold', allMet(host.answers) ? 'the rules hold' : 'the rules do not hold', stdout)}\n`)
  for (const answer of host.answers) line(`  ${ruleRow(answer)[0]}`, ruleRow(answer)[1])
}
