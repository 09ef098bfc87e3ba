/** `reprise host enroll`: has an authority vouch for this host, over HTTP or by files. */
import { connectSigner, type Signer } from '@reprise/host'
import {
  answerChallenge,
  type ChainFacts,
  decodeMessage,
  encodeEnrolment,
  type Enrolled,
  enrolHost,
  fingerprint,
  makeRequest,
  type Pin,
  readAuthorityRoot,
  takeDecision,
} from '@reprise/host/enrolment'
import { fromHex } from '@reprise/core'
import { RunnerError } from '@reprise/runner'
import { hostname } from 'node:os'
import { readInput, say, sayJson, writeOutput } from '../authority-context.ts'
import { createContext } from '../context.ts'
import { EXIT_UNKNOWN, EXIT_YES } from '../exit.ts'
import { advise, safe } from '../print/format.ts'

interface EnrollOptions {
  readonly authority?: string
  readonly authorityRoot?: string
  readonly name?: string
  readonly request?: string
  readonly output?: string
  readonly renew?: boolean
  readonly wait?: number
  readonly json?: boolean
}

const isWebAddress = (authority: string): boolean => /^https?:\/\//.test(authority)

export async function action(options: object): Promise<number> {
  const given = options as EnrollOptions
  if ((given.authority === undefined) === (given.request === undefined)) {
    throw new RunnerError('USAGE', {
      message: 'either --authority or --request is wanted',
      hint: '--authority http://… enrols over the network; --request FILE writes a request for an authority that is not on it',
    })
  }
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(given.authority ?? '') && !isWebAddress(given.authority ?? '')) {
    throw new RunnerError('USAGE', {
      message: `${given.authority} is no address of an authority`,
      hint: 'it begins with http:// or https://; otherwise name a file',
    })
  }
  const pin = given.authorityRoot === undefined ? null : await readAuthorityRoot(given.authorityRoot)
  const { home, signal } = createContext()
  await using signer = await connectSigner({ home, signal, onTrouble: advise })
  if (given.request !== undefined) return await writeRequest(signer, given.request, given)
  const authority = given.authority ?? ''
  if (!isWebAddress(authority)) return await takeFile(signer, authority, pin, given)
  const { renew = false, wait = 0 } = given
  const enrolled = await enrolHost({
    ...{ home, signer, authority, pin, renew, signal, now: new Date(), waitMs: 1000 * wait },
    name: given.name ?? (await usualName(signer)),
  })
  return report(enrolled, pin, given)
}

/** What the host was called before, else what the machine is called. */
async function usualName(signer: Signer): Promise<string> {
  const { enrolment } = await signer.show()
  return enrolment?.name ?? hostname()
}

async function writeRequest(signer: Signer, path: string, { name, json = false }: EnrollOptions): Promise<number> {
  const request = await makeRequest(signer, name ?? (await usualName(signer)))
  await writeOutput(path, encodeEnrolment(request))
  if (json) sayJson({ schema: 'reprise/host-enroll/v1', state: 'requested', name: request.name, output: path })
  else
    say(
      `request for ${safe(request.name)}   ${safe(path)}\n  at the authority: reprise authority challenge ${safe(path)} -o challenge.json`,
    )
  return EXIT_YES
}

/** A challenge is answered, a certificate is kept. */
async function takeFile(signer: Signer, path: string, pin: Pin, given: EnrollOptions): Promise<number> {
  const { output, json = false } = given
  const message = decodeMessage(await readInput(path), 'reprise/enrol-challenge/v1', 'reprise/enrol-decision/v1')
  if (message.schema === 'reprise/enrol-decision/v1') {
    const known = pin ?? (await usualPin(signer))
    const facts = await takeDecision(signer, message, known)
    if (facts !== undefined) return report({ state: 'issued', facts }, known, given)
    throw new RunnerError('INPUT_UNREADABLE', {
      message: `${path} holds no certificate: the request was not decided yet`,
    })
  }
  if (output === undefined) {
    throw new RunnerError('USAGE', {
      message: `${path} is a challenge: its answer needs a file`,
      hint: `reprise host enroll --authority ${path} -o answer.json`,
    })
  }
  await writeOutput(output, encodeEnrolment(await answerChallenge(signer, message, pin ?? (await usualPin(signer)))))
  if (json) sayJson({ schema: 'reprise/host-enroll/v1', state: 'answered', name: message.name, output })
  else
    say(
      `answer of ${safe(message.name)}   ${safe(output)}\n  at the authority: reprise authority certify ${safe(output)} -o certificate.json`,
    )
  return EXIT_YES
}

async function usualPin(signer: Signer): Promise<Pin> {
  const { enrolment } = await signer.show()
  return enrolment === null ? null : fromHex(enrolment.authority)
}

function report(enrolled: Enrolled, pin: Pin, { json = false }: EnrollOptions): number {
  switch (enrolled.state) {
    case 'waiting': {
      const { request, name } = enrolled
      if (json) sayJson({ schema: 'reprise/host-enroll/v1', state: 'waiting', request, name })
      else
        say(
          `waiting   ${safe(name)}   request ${request.slice(0, 12)}\n  for its operator: reprise authority approve ${request.slice(0, 12)}\n  then the same command again`,
        )
      return EXIT_UNKNOWN
    }
    case 'enrolled': {
      const { name, tier, authority, authorityName, certificate } = enrolled.enrolment
      if (json)
        sayJson({
          schema: 'reprise/host-enroll/v1',
          state: 'enrolled',
          name,
          tier,
          authority: `sha256:${authority}`,
          validTo: certificate.validTo,
        })
      else
        say(
          `enrolled   ${safe(name)}   ${tier} TPM\n  by ${safe(authorityName)} sha256:${authority}, until ${certificate.validTo}; --renew renews it sooner`,
        )
      return EXIT_YES
    }
    case 'issued':
      printIssued(enrolled.facts, pin, json)
      return EXIT_YES
  }
}

function printIssued(
  { hostName, tier, authority, authorityName, serial, notAfter }: ChainFacts,
  pin: Pin,
  json: boolean,
): void {
  const known = fingerprint(authority)
  const validTo = notAfter.toISOString()
  if (json)
    sayJson({
      schema: 'reprise/host-enroll/v1',
      state: 'issued',
      name: hostName,
      tier,
      authority: known,
      serial,
      validTo,
    })
  else say(`enrolled   ${safe(hostName)}   ${tier} TPM\n  by ${safe(authorityName)} ${known}, until ${validTo}`)
  if (pin === null)
    advise(
      `Nobody checked that this is the right authority; from now on it is the one that this host knows. Compare: reprise authority show there prints ${known}`,
    )
}
