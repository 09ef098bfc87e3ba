/** `reprise authority show|list|revocations|audit`: what an authority knows. */
import {
  type Authority,
  auditAuthority,
  describeKey,
  type IssuedCertificate,
  type RequestState,
} from '@reprise/host/authority'
import { fingerprint } from '@reprise/host/enrolment'
import { hex } from '@reprise/core'
import { type AuthorityOptions, openItsAuthority, say, sayJson, writeOutput } from '../authority-context.ts'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { count, safe } from '../print/format.ts'

export async function show(options: object): Promise<number> {
  const shared = options as AuthorityOptions
  printAuthority(await openItsAuthority(shared), shared.json === true)
  return EXIT_YES
}

export function printAuthority(authority: Authority, json: boolean): void {
  const { settings, state, paths, id } = authority
  const valid = authority.valid().length
  const waiting = waitingOf(authority).length
  const facts = { name: settings.name, authority: fingerprint(id), key: describeKey(settings.key), root: paths.root }
  if (json) {
    const counts = { certificates: valid, waiting, allowed: state.allowed.size }
    sayJson({ schema: 'reprise/authority-report/v1', ...facts, home: paths.home, ...counts })
    return
  }
  const rows: [string, string][] = [
    ['authority', facts.name],
    ['fingerprint', facts.authority],
    ['key', facts.key],
    ['root', facts.root],
    ['hosts', `${count(valid, 'certificate')} that hold${valid === 1 ? 's' : ''}, ${count(waiting, 'host')} waiting`],
    ['state', paths.home],
  ]
  for (const [name, value] of rows) say(`${name.padEnd(16)} ${safe(value)}`)
}

function waitingOf({ state }: Authority): RequestState[] {
  return [...state.requests.values()].filter((request) => request.state === 'waiting')
}

export async function list(options: object): Promise<number> {
  const { all = false, json = false, ...shared } = options as AuthorityOptions & { readonly all?: boolean }
  const authority = await openItsAuthority(shared)
  const { state } = authority
  const requests = all
    ? [...state.requests.values()].filter((request) => request.state !== 'issued')
    : waitingOf(authority)
  const certificates = all ? [...state.certificates.values()] : authority.valid()
  if (json) {
    sayJson({
      schema: 'reprise/authority-list/v1',
      requests: requests.map(requestAnswer),
      certificates: certificates.map(({ der: _der, ...certificate }) => certificate),
      allowed: [...state.allowed].map(([ek, name]) => ({ ek, name })),
    })
    return EXIT_YES
  }
  if (requests.length + certificates.length === 0) say('no host has asked yet')
  for (const request of requests) say(requestLine(request))
  for (const certificate of certificates) say(certificateLine(certificate))
  return EXIT_YES
}

function requestAnswer({
  request,
  name,
  state,
  tier,
  tierReason,
  akName,
  ekName,
  askedAt,
  reason,
  origin,
}: RequestState) {
  return {
    request: hex(request),
    name,
    state,
    tier,
    tierReason,
    akName: hex(akName),
    ekName: hex(ekName),
    askedAt,
    reason,
    origin,
  }
}

function requestLine({ request, name, state, tier, tierReason, askedAt, reason }: RequestState): string {
  const why = reason === '' ? '' : `   ${reason}`
  return safe(
    `${state.padEnd(10)} ${hex(request).slice(0, 12)}   ${name}   ${tier} TPM: ${tierReason}   ${askedAt}${why}`,
  )
}

function certificateLine({ serial, name, tier, notAfter, revoked }: IssuedCertificate): string {
  const state = revoked === null ? 'issued' : 'revoked'
  const until = revoked === null ? `until ${notAfter.slice(0, 10)}` : `${revoked.at.slice(0, 10)} ${revoked.reason}`
  return safe(`${state.padEnd(10)} ${name}   ${tier} TPM   serial ${serial}   ${until}`)
}

export async function revocations(options: object): Promise<number> {
  const { output, ...shared } = options as AuthorityOptions & { readonly output?: string }
  const content = await (await openItsAuthority(shared)).revocations()
  if (output === undefined) process.stdout.write(content)
  else await writeOutput(output, content)
  return EXIT_YES
}

export async function audit(options: object): Promise<number> {
  const { since, json = false, ...shared } = options as AuthorityOptions & { readonly since?: string }
  const report = await auditAuthority(await openItsAuthority(shared), since)
  const { lines, certificates, revoked, head, findings } = report
  if (json) sayJson(report)
  else {
    const counts = `${count(lines, 'line')}, ${count(certificates, 'certificate')}, ${revoked} revoked`
    say(`${findings.length === 0 ? 'whole' : 'damaged'}   ${counts}\n  head ${head}`)
    for (const finding of findings) say(`  ${safe(finding)}`)
  }
  return findings.length === 0 ? EXIT_YES : EXIT_NO
}
