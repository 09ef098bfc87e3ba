/** `reprise host show`: the TPM and the identity of this host. */
import type { HostReport } from '@reprise/host'
import { createContext, openSigner } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { advise, safe } from '../print/format.ts'

export async function action(options: object): Promise<number> {
  const { json = false } = options as { readonly json?: boolean }
  await using signer = openSigner(createContext(), advise)
  const report = await (await signer.ready).show()
  if (json) process.stdout.write(`${JSON.stringify(report)}\n`)
  else printHost(report)
  return EXIT_YES
}

export function printHost(report: HostReport): void {
  const { tpm } = report
  const { lockout } = tpm
  const rows: [string, string][] = [
    ['tier', `${report.tier.tier}: ${report.tier.reason}`],
    ['host', report.hostId],
    ['TPM', `${tpm.manufacturer} ${tpm.firmware} by ${tpm.transport}`],
    ['AK', `${report.ak.name} at ${report.ak.handle}`],
    ['EK', report.ek.name],
    ['EK certificate', certificate(report)],
    ['enrolment', enrolment(report)],
    [
      'clock',
      `${tpm.clock} ms of power, ${tpm.resetCount} resets, ${tpm.restartCount} restarts, ${tpm.safe ? 'safe' : 'may have gone back'}`,
    ],
    ['last end', tpm.orderly ? 'shut down' : 'without a shutdown'],
    [
      'lockout',
      `${lockout.counter} of ${lockout.maxAuthFail} failures, one forgiven every ${lockout.intervalSeconds} s, locked out for ${lockout.recoverySeconds} s`,
    ],
    ['state', report.home],
  ]
  for (const [name, value] of rows) process.stdout.write(`${name.padEnd(16)} ${safe(value)}\n`)
  for (const [index, value] of Object.entries(tpm.pcrs.sha256))
    process.stdout.write(`${`PCR ${index}`.padEnd(16)} ${value}\n`)
  for (const notice of report.notices) advise(notice)
}

function certificate({ ek }: HostReport): string {
  if (ek.certificate === null) return 'none'
  const { subject, issuer, validFrom, validTo } = ek.certificate
  const name = subject.trim() === '' ? 'no subject' : subject.replaceAll('\n', ', ')
  return `${name}, issued by ${issuer.replaceAll('\n', ', ')}, ${validFrom} to ${validTo}`
}

function enrolment({ enrolment }: HostReport): string {
  if (enrolment === null) return 'by itself: no authority vouches for it'
  const { name, tier, authority, authorityName, certificate } = enrolment
  return `${name}, ${tier} TPM, by ${authorityName} sha256:${authority}, until ${certificate.validTo}`
}
