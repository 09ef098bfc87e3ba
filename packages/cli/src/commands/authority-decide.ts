/** `reprise authority approve|reject|revoke|allow`: what an operator decides. */
import type { RevocationReason } from '@reprise/host/authority'
import { encodeEnrolment, type EnrolDecision } from '@reprise/host/enrolment'
import { fromHex, hex, isHex } from '@reprise/core'
import { RunnerError } from '@reprise/runner'
import { type AuthorityOptions, openItsAuthority, say, sayJson, writeOutput } from '../authority-context.ts'
import { EXIT_YES } from '../exit.ts'
import { safe } from '../print/format.ts'

export async function approve(options: object, [request]: readonly string[]): Promise<number> {
  const { name, output, ...shared } = options as AuthorityOptions & {
    readonly name?: string
    readonly output?: string
  }
  const decision = await (await openItsAuthority(shared)).approve(request.toLowerCase(), name)
  if (output !== undefined) await writeOutput(output, encodeEnrolment(decision))
  report(decision, shared)
  return EXIT_YES
}

export async function reject(options: object, [request]: readonly string[]): Promise<number> {
  const { reason, ...shared } = options as AuthorityOptions & { readonly reason: string }
  report(await (await openItsAuthority(shared)).reject(request.toLowerCase(), reason.slice(0, 1000)), shared)
  return EXIT_YES
}

function report({ request, state, name }: EnrolDecision, { json = false }: AuthorityOptions): void {
  if (json) sayJson({ schema: 'reprise/authority-decision/v1', request: hex(request), state, name })
  else say(`${state}   ${safe(name)}   request ${hex(request).slice(0, 12)}`)
}

export async function revoke(options: object, [name]: readonly string[]): Promise<number> {
  const { reason, json = false, ...shared } = options as AuthorityOptions & { readonly reason: RevocationReason }
  const authority = await openItsAuthority(shared)
  const revoked = await authority.revoke(name, reason)
  const list = authority.paths.revocations
  if (json) {
    const certificates = revoked.map(({ serial, name, akName }) => ({ serial, name, akName }))
    sayJson({ schema: 'reprise/authority-revoke/v1', reason, certificates, list })
    return EXIT_YES
  }
  for (const { serial, name } of revoked) say(`revoked   ${safe(name)}   serial ${serial}   ${reason}`)
  say(`  the signed list: ${safe(list)}`)
  return EXIT_YES
}

export async function allow(options: object, [text]: readonly string[]): Promise<number> {
  const {
    name = null,
    remove = false,
    json = false,
    ...shared
  } = options as AuthorityOptions & {
    readonly name?: string
    readonly remove?: boolean
  }
  const authority = await openItsAuthority(shared)
  const ek = parseEk(text)
  await (remove ? authority.disallow(ek) : authority.allow(ek, name))
  if (json) sayJson({ schema: 'reprise/authority-allow/v1', ek: hex(ek), name, allowed: !remove })
  else say(`${remove ? 'taken off the list' : 'on the list'}   ${hex(ek)}${name === null ? '' : `   ${safe(name)}`}`)
  return EXIT_YES
}

const NAME_LENGTHS_BYTES = [32, 34, 50, 66]

function parseEk(text: string): Uint8Array {
  const digits = text.toLowerCase().replace(/^sha256:/, '')
  if (isHex(digits) && NAME_LENGTHS_BYTES.includes(digits.length / 2)) return fromHex(digits)
  throw new RunnerError('USAGE', {
    message: `${text} is neither the Name of an endorsement key nor the SHA-256 of its certificate`,
    hint: 'reprise host show prints both on the host',
  })
}
