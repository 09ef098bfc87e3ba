/** What may be asked at the socket of an agent. Format: spec/agent.md §4. */

import { type Decode, integer, list, object, oneOf, optional, text } from '@reprise/host/decode'
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
  | {
      readonly ask: 'deliver'
      readonly to: string
      readonly statement: string
      readonly credentials: readonly NamedFile[]
      readonly imageKeys: readonly VersionedFile[]
      readonly timeoutMs: number
      readonly roundTripMs?: number | undefined
    }
  | { readonly ask: 'plan' | 'statement'; readonly path: string }
  | { readonly ask: 'offer'; readonly fleet: string; readonly registers: readonly number[] }
  | { readonly ask: 'release-request'; readonly expirationS: number }
  | { readonly ask: 'release'; readonly statements: readonly string[] }

const PATH_MAX = 4096
/** As the command takes them. */
const DURATION_MS_MAX = 24 * 86_400_000
const path = text(PATH_MAX)
const name: Decode<string> = (value, at) => {
  const found = text(63)(value, at)
  if (/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/.test(found)) return found
  throw new RangeError(`${at} is no name`)
}
const plain = (ask: 'status' | 'watch' | 'boot' | 'rotate' | 'stop') => object<{ ask: typeof ask }>({ ask: oneOf(ask) })
const withPath = (ask: 'plan' | 'statement') => object<{ ask: typeof ask; path: string }>({ ask: oneOf(ask), path })

const secrets = {
  credentials: list(object<NamedFile>({ name, path }), 1000),
  imageKeys: list(object<VersionedFile>({ version: integer(1), path }), 63),
}

const REQUESTS: { readonly [Ask in ControlRequest['ask']]: Decode<ControlRequest> } = {
  status: plain('status'),
  watch: plain('watch'),
  boot: plain('boot'),
  rotate: plain('rotate'),
  stop: plain('stop'),
  plan: withPath('plan'),
  statement: withPath('statement'),
  provision: object<ControlRequest & { ask: 'provision' }>({ ask: oneOf('provision'), ...secrets }),
  deliver: object<ControlRequest & { ask: 'deliver' }>({
    ...{ ask: oneOf('deliver'), to: name, statement: path, ...secrets },
    timeoutMs: integer(1, DURATION_MS_MAX),
    roundTripMs: optional(integer(1, DURATION_MS_MAX)),
  }),
  offer: object<ControlRequest & { ask: 'offer' }>({
    ask: oneOf('offer'),
    fleet: name,
    registers: list(integer(0, 23), 24),
  }),
  'release-request': object<ControlRequest & { ask: 'release-request' }>({
    ask: oneOf('release-request'),
    expirationS: integer(1, 86_400),
  }),
  release: object<ControlRequest & { ask: 'release' }>({ ask: oneOf('release'), statements: list(path, 64) }),
}

/** @throws {@link RecoveryError} `USAGE`. */
export function decodeRequest(line: string): ControlRequest {
  try {
    const value = JSON.parse(line) as { readonly ask?: unknown } | null
    const ask = value?.ask
    if (typeof ask !== 'string' || !Object.hasOwn(REQUESTS, ask))
      throw new RangeError(`ask must be one of ${Object.keys(REQUESTS).join(', ')}`)
    return REQUESTS[ask as ControlRequest['ask']](value, 'request')
  } catch (cause) {
    throw new RecoveryError('USAGE', {
      message: `The agent does not understand what it was asked: ${cause instanceof SyntaxError ? 'no JSON' : (cause as Error).message}.`,
      hint: 'spec/agent.md, section 4',
    })
  }
}
