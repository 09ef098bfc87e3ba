/** `reprise authority policy`: who gets a certificate. */
import type { Policy } from '@reprise/host/authority'
import { decodeCertificate } from '@reprise/core/certificates'
import { type AuthorityOptions, openItsAuthority, readPolicy, say, sayJson } from '../authority-context.ts'
import { EXIT_YES } from '../exit.ts'
import { count, safe } from '../print/format.ts'

export async function action(options: object): Promise<number> {
  const shared = options as AuthorityOptions
  const authority = await openItsAuthority(shared)
  await authority.setPolicy(await readPolicy(shared))
  if (shared.json === true) sayJson({ schema: 'reprise/authority-policy/v1', ...answer(authority.policy) })
  else print(authority.policy)
  return EXIT_YES
}

function answer({ ekRoots, ...policy }: Policy): object {
  return { ...policy, ekRoots: ekRoots.map((root) => ({ tier: root.tier, subject: subjectOf(root) })) }
}

function subjectOf({ certificate }: Policy['ekRoots'][number]): string {
  return decodeCertificate(certificate, 'endorsement').subject.text
}

const APPROVED: Readonly<Record<Policy['approve'], string>> = {
  manual: 'nobody: an operator approves each host',
  known: 'hosts whose endorsement key is on the list',
  software: 'every host',
  firmware: 'hosts with a TPM of tier firmware or hardware',
  hardware: 'hosts with a TPM of tier hardware',
}

const SECOND_KEYS: Readonly<Record<Policy['sameEk'], string>> = {
  ask: 'an operator decides, and the first one is revoked then',
  keep: 'both hold',
  refuse: 'refused',
}

function print(policy: Policy): void {
  const rows: [string, string][] = [
    ['approved unasked', APPROVED[policy.approve]],
    ['refused', policy.minTier === 'software' ? 'no tier' : `TPMs below ${policy.minTier}`],
    ['names', policy.names],
    ['second keys', SECOND_KEYS[policy.sameEk]],
    ['certificates', `hold for ${count(policy.certificateDays, 'day')}`],
    ['challenges', `are good for ${count(policy.challengeSeconds, 'second')}`],
    ...policy.ekRoots.map((root): [string, string] => [`root ${root.tier}`, subjectOf(root)]),
  ]
  for (const [name, value] of rows) say(`${name.padEnd(18)} ${safe(value)}`)
}
