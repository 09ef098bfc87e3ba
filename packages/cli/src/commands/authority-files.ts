/** `reprise authority challenge|certify`: enrolling a host by files that somebody carries. */
import { decodeMessage, encodeEnrolment, type EnrolDecision } from '@reprise/host/enrolment'
import type { Authority } from '@reprise/host/authority'
import { hex } from '@reprise/core'
import { HostError } from '@reprise/host'
import { type AuthorityOptions, openItsAuthority, readInput, say, sayJson, writeOutput } from '../authority-context.ts'
import { EXIT_UNKNOWN, EXIT_YES } from '../exit.ts'
import { safe } from '../print/format.ts'

type FileOptions = AuthorityOptions & { readonly output: string }

const DAY_SECONDS = 86_400

export async function challenge(options: object, [path]: readonly string[]): Promise<number> {
  const { output, days, json = false, ...shared } = options as FileOptions & { readonly days: number }
  const request = decodeMessage(await readInput(path), 'reprise/enrol-request/v1')
  const authority = await openItsAuthority(shared)
  const made = await authority.challenge(request, { origin: 'file', seconds: days * DAY_SECONDS })
  await writeOutput(output, encodeEnrolment(made))
  const id = hex(made.request)
  if (json) sayJson({ schema: 'reprise/authority-challenge/v1', request: id, name: made.name, output })
  else
    say(
      `challenge for ${safe(made.name)}   request ${id.slice(0, 12)}   ${safe(output)}\n  good until ${made.expiresAt}`,
    )
  return EXIT_YES
}

export async function certify(options: object, [path]: readonly string[]): Promise<number> {
  const { output, json = false, ...shared } = options as FileOptions
  const answer = decodeMessage(await readInput(path), 'reprise/enrol-answer/v1')
  const authority = await openItsAuthority(shared)
  const decision = await decide(authority, answer)
  const { state, name, reason } = decision
  const id = hex(decision.request)
  if (state === 'issued') await writeOutput(output, encodeEnrolment(decision))
  if (json) sayJson({ schema: 'reprise/authority-decision/v1', request: id, state, name, reason })
  else if (state === 'issued') say(`issued   ${safe(name)}   ${safe(output)}`)
  else
    say(
      `${state}   ${safe(name)}   ${safe(reason)}\n  to approve it: reprise authority approve ${id.slice(0, 12)} -o ${safe(output)}`,
    )
  return state === 'issued' ? EXIT_YES : EXIT_UNKNOWN
}

/** An answer that was taken before is not an error here: its decision is what is asked for. */
async function decide(authority: Authority, answer: Parameters<Authority['answer']>[0]): Promise<EnrolDecision> {
  try {
    return await authority.answer(answer)
  } catch (error) {
    if (error instanceof HostError && error.data['refusal'] === 'USED') return await authority.decision(answer.request)
    throw error
  }
}
