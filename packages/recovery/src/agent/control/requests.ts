/** What may be asked at the socket of an agent. Format: spec/agent.md §4. */

import { bytes, type Decode, integer, list, object, oneOf, text } from '@reprise/host/decode'
import { RecoveryError } from '../../error.ts'

export interface NamedFile {
  readonly name: string
  readonly path: string
}

export interface VersionedFile {
  readonly version: number
  readonly path: string
}

export type ControlRequest =
  | { readonly ask: 'status' | 'watch' | 'boot' | 'rotate' | 'stop' }
  | {
      readonly ask: 'provision'
      readonly credentials: readonly NamedFile[]
      readonly imageKeys: readonly VersionedFile[]
    }
  | { readonly ask: 'plan' | 'statement'; readonly path: string }
  | { readonly ask: 'offer'; readonly fleet: string; readonly registers: readonly number[] }
  | { readonly ask: 'break-glass'; readonly expirationS: number }

/** What a client answers to a challenge. */
export interface BreakGlassAnswer {
  readonly statements: readonly { readonly operator: number; readonly signature: Uint8Array }[]
  readonly escrow: readonly { readonly index: number; readonly bytes: Uint8Array }[]
}

const PATH_MAX = 4096
const path = text(PATH_MAX)
const name: Decode<string> = (value, at) => {
  const found = text(63)(value, at)
  if (/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/.test(found)) return found
  throw new RangeError(`${at} is no name`)
}
const plain = (ask: 'status' | 'watch' | 'boot' | 'rotate' | 'stop') => object<{ ask: typeof ask }>({ ask: oneOf(ask) })
const withPath = (ask: 'plan' | 'statement') => object<{ ask: typeof ask; path: string }>({ ask: oneOf(ask), path })

const REQUESTS: { readonly [Ask in ControlRequest['ask']]: Decode<ControlRequest> } = {
  status: plain('status'),
  watch: plain('watch'),
  boot: plain('boot'),
  rotate: plain('rotate'),
  stop: plain('stop'),
  plan: withPath('plan'),
  statement: withPath('statement'),
  provision: object<ControlRequest & { ask: 'provision' }>({
    ask: oneOf('provision'),
    credentials: list(object<NamedFile>({ name, path }), 1000),
    imageKeys: list(object<VersionedFile>({ version: integer(1), path }), 63),
  }),
  offer: object<ControlRequest & { ask: 'offer' }>({
    ask: oneOf('offer'),
    fleet: name,
    registers: list(integer(0, 23), 24),
  }),
  'break-glass': object<ControlRequest & { ask: 'break-glass' }>({
    ask: oneOf('break-glass'),
    expirationS: integer(1, 86_400),
  }),
}

/** @throws {@link RecoveryError} `USAGE`. */
export function decodeRequest(line: string): ControlRequest {
  return decoded(line, (value) => {
    const ask = (value as { ask?: unknown } | null)?.ask
    if (typeof ask !== 'string' || !Object.hasOwn(REQUESTS, ask))
      throw new RangeError(`ask must be one of ${Object.keys(REQUESTS).join(', ')}`)
    return REQUESTS[ask as ControlRequest['ask']](value, 'request')
  })
}

const answer = object<BreakGlassAnswer>({
  statements: list(
    object<BreakGlassAnswer['statements'][number]>({ operator: integer(0, 63), signature: bytes(64) }),
    64,
  ),
  escrow: list(object<BreakGlassAnswer['escrow'][number]>({ index: integer(0, 63), bytes: bytes(33) }), 64),
})

/** @throws {@link RecoveryError} `USAGE`. */
export function decodeBreakGlassAnswer(line: string): BreakGlassAnswer {
  return decoded(line, (value) => answer(value, 'answer'))
}

function decoded<T>(line: string, decode: (value: unknown) => T): T {
  try {
    return decode(JSON.parse(line))
  } catch (cause) {
    // Without the cause: it may quote the line, and that may hold a secret.
    throw new RecoveryError('USAGE', {
      message: `The agent does not understand what it was asked: ${cause instanceof SyntaxError ? 'no JSON' : (cause as Error).message}.`,
      hint: 'spec/agent.md, section 4',
    })
  }
}

