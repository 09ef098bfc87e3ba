/** Talking to an authority over HTTP. */

import { RepriseError } from '@reprise/core'
import { isRefusal } from '../authority/refusal.ts'
import { HostError } from '../error.ts'
import {
  decodeMessage,
  encodeEnrolment,
  type Message,
  MESSAGE_BYTES_MAX,
  type Messages,
  type MessageSchema,
} from './messages.ts'

const ANSWER_MS = 30_000
/** Revocation lists are longer than other answers. */
const CONTENT_BYTES_MAX = 16 << 20

export interface Asking {
  /** Such as `http://authority.example:8470`; what follows is appended. */
  readonly authority: string
  readonly signal?: AbortSignal | undefined
}

/** @throws {@link HostError} `AUTHORITY_UNREACHABLE` for what is no http address. */
export function authorityAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.search === '' &&
    url.hash === '' &&
    url.username === ''
  )
    return url.href.replace(/\/+$/, '')
  throw new HostError('AUTHORITY_UNREACHABLE', {
    message: `${text} is not the address of an authority.`,
    hint: 'It looks like http://authority.example:8470',
  })
}

/**
 * Asks for a page, or posts a message.
 *
 * @throws {@link HostError} `AUTHORITY_UNREACHABLE`, `PROTOCOL` when something else answers, `ENROLMENT_REFUSED` with the
 *   authority's words.
 */
export async function ask<Schema extends MessageSchema>(
  { authority, signal }: Asking,
  path: string,
  wanted: Schema,
  message?: Message,
): Promise<Messages[Schema]> {
  const { status, content } = await exchange({ authority, signal }, path, message)
  if (status !== 200) throw refused(authority, status, content)
  return decodeMessage(content, wanted)
}

/** The newest revocation list of an authority, as it signed it. @throws {@link HostError} as `ask`. */
export async function fetchRevocations(asking: Asking): Promise<Uint8Array> {
  const { status, content } = await exchange(asking, '/v1/revocations', undefined)
  if (status !== 200) throw refused(asking.authority, status, content)
  return content
}

async function exchange(
  { authority, signal }: Asking,
  path: string,
  message: Message | undefined,
): Promise<{ readonly status: number; readonly content: Uint8Array }> {
  const limit = AbortSignal.timeout(ANSWER_MS)
  try {
    const response = await fetch(`${authority}${path}`, {
      redirect: 'error',
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      ...(message !== undefined && {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: encodeEnrolment(message),
      }),
    })
    return { status: response.status, content: await readLimited(response) }
  } catch (cause) {
    signal?.throwIfAborted()
    if (cause instanceof RepriseError) throw cause
    const { cause: inner, message: why } = cause as Error
    throw new HostError('AUTHORITY_UNREACHABLE', {
      message: `${authority} does not answer: ${inner instanceof Error ? inner.message : why}.`,
      hint: 'See that the address is right and that reprise authority serve runs there. What has begun is kept: try again.',
      cause,
    })
  }
}

async function readLimited(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let lengthBytes = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    lengthBytes += chunk.length
    if (lengthBytes > CONTENT_BYTES_MAX)
      throw new HostError('PROTOCOL', { message: `an answer of more than ${CONTENT_BYTES_MAX} bytes` })
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

function refused(authority: string, status: number, content: Uint8Array): HostError {
  const hint = `See that ${authority} is an authority: reprise authority serve prints its address.`
  if (content.length > MESSAGE_BYTES_MAX)
    return new HostError('PROTOCOL', { message: `${authority} answered ${status} with something else.`, hint })
  try {
    const problem = decodeMessage(content, 'reprise/enrol-problem/v1')
    const data = { refusal: isRefusal(problem.code) ? problem.code : 'FAILED', status }
    const passing = status === 429 || status >= 500
    return new HostError(passing ? 'AUTHORITY_UNREACHABLE' : 'ENROLMENT_REFUSED', {
      message: `The authority says: ${problem.message}`,
      ...(problem.hint !== null && { hint: problem.hint }),
      data,
    })
  } catch (cause) {
    return new HostError('PROTOCOL', { message: `${authority} answered ${status} and no message.`, hint, cause })
  }
}
