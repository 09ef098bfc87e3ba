/**
 * A connection to one TPM. It owns the transport, sends one command at a time, adds sessions, names
 * every response code, and tries again when the TPM asks for that.
 */

import { randomBytes } from 'node:crypto'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { ByteReader, decodeResponseCode, EvidenceError, TPM_STRUCTURE_BYTES_MAX, TruncatedError } from '@reprise/core'
import type { Command, ExecuteOptions, Executor } from './command.ts'
import { TpmError } from './error.ts'
import { HEADER_BYTES, sealCommand } from './session/authorization.ts'
import type { Transport } from './transport/transport.ts'

export interface ConnectOptions {
  /** Nonces and salts; `node:crypto` by default. */
  readonly random?: (lengthBytes: number) => Uint8Array
  readonly sleep?: (durationMs: number) => Promise<void>
  /** How often a command is sent again when the TPM asks for it; 24 by default, about half a minute in all. */
  readonly retriesMax?: number
}

const RETRIES_MAX = 24
/** Doubles from here with every retry, up to the maximum. */
const BACKOFF_MIN_MS = 5
const BACKOFF_MAX_MS = 2_000

/** Part 2 §6.6: the command did not begin, or came to nothing, and may be sent again as it is. */
const RETRYABLE: ReadonlySet<string> = new Set([
  'TPM_RC_RETRY',
  'TPM_RC_YIELDED',
  'TPM_RC_TESTING',
  'TPM_RC_NV_RATE',
  'TPM_RC_CANCELED',
])

/** On a device that others use as well, what they hold may be free again soon; a TPM of our own would be full for good. */
const RETRYABLE_WHEN_SHARED: ReadonlySet<string> = new Set([
  'TPM_RC_MEMORY',
  'TPM_RC_OBJECT_MEMORY',
  'TPM_RC_OBJECT_HANDLES',
  'TPM_RC_SESSION_MEMORY',
  'TPM_RC_SESSION_HANDLES',
  'TPM_RC_CONTEXT_GAP',
])

export function connect(transport: Transport, options: ConnectOptions = {}): Tpm {
  return new Tpm(transport, options)
}

export class Tpm implements Executor, AsyncDisposable {
  readonly random: (lengthBytes: number) => Uint8Array
  readonly #transport: Transport
  readonly #sleep: (durationMs: number) => Promise<unknown>
  readonly #retriesMax: number
  #turn: Promise<unknown> = Promise.resolve()

  constructor(transport: Transport, options: ConnectOptions) {
    this.#transport = transport
    this.random = options.random ?? ((lengthBytes) => new Uint8Array(randomBytes(lengthBytes)))
    this.#sleep = options.sleep ?? sleepMs
    this.#retriesMax = options.retriesMax ?? RETRIES_MAX
  }

  /**
   * Sends a command, in the order of the calls, and reads its answer.
   *
   * @throws {@link TpmError} `RESPONSE` when the TPM refuses, `HMAC` or `MALFORMED` when the answer does not hold,
   *   `TRANSPORT` or `TIMEOUT` when none came: then the connection is of no further use.
   */
  execute<Response>(command: Command<Response>, options: ExecuteOptions = {}): Promise<Response> {
    const turn = this.#turn.then(() => this.#exchange(command, options))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  /** Waits for the commands under way, then closes. Objects and sessions stay in the TPM unless a resource manager flushes them. */
  async close(): Promise<void> {
    await this.#turn
    await this.#transport.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #exchange<Response>(command: Command<Response>, options: ExecuteOptions): Promise<Response> {
    const sealed = sealCommand(command, options, this.random)
    if (sealed.bytes.length > TPM_STRUCTURE_BYTES_MAX) {
      throw new TpmError('USAGE', {
        message: `TPM2_${command.name} of ${sealed.bytes.length} bytes; at most ${TPM_STRUCTURE_BYTES_MAX} are taken`,
      })
    }
    const response = await this.#send(command, sealed.bytes)
    const { handle, parameters } = sealed.open(response)
    const reader = new ByteReader(parameters)
    try {
      const answer = command.decode({ handle, parameters: reader, tpm: this })
      reader.end()
      return answer
    } catch (cause) {
      if (!(cause instanceof TruncatedError || cause instanceof EvidenceError)) throw cause
      throw new TpmError('MALFORMED', { message: `TPM2_${command.name}: ${cause.message}`, cause })
    }
  }

  /** Sends until the TPM neither asks to wait nor refuses. */
  async #send(command: Command<unknown>, bytes: Uint8Array): Promise<Uint8Array> {
    for (let retries = 0; ; retries++) {
      const response = await this.#transport.send(bytes)
      if (response.length < HEADER_BYTES)
        throw new TpmError('MALFORMED', { message: `TPM2_${command.name}: answer of ${response.length} bytes` })
      const code = decodeResponseCode(new DataView(response.buffer, response.byteOffset).getUint32(6))
      if (code.code === 0) return response
      const isShared = this.#transport.kind === 'device'
      const passes = RETRYABLE.has(code.name) || (isShared && RETRYABLE_WHEN_SHARED.has(code.name))
      if (!passes || retries >= this.#retriesMax) throw refusal(command, code, retries)
      await this.#sleep(Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS << retries))
    }
  }
}

function refusal(
  command: Command<unknown>,
  response: ReturnType<typeof decodeResponseCode>,
  retries: number,
): TpmError {
  const who = response.layer === 'tpm' ? '' : ` by the ${response.layer}`
  const about = response.about === undefined ? '' : ` (${response.about.kind} ${response.about.number})`
  const tries = retries === 0 ? '' : `, after ${retries} retries`
  const hint = HINTS[response.name]
  return new TpmError('RESPONSE', {
    message: `TPM2_${command.name}: ${response.name}${who}${about} [0x${response.code.toString(16).padStart(3, '0')}]${tries}`,
    ...(hint === undefined ? {} : { hint }),
    data: { command: command.name, responseCode: response.code },
    response,
  })
}

const HINTS: Readonly<Record<string, string>> = {
  TPM_RC_INITIALIZE: 'The TPM waits for TPM2_Startup.',
  TPM_RC_LOCKOUT:
    'Too many wrong authValues or unclean stops. Wait for the recovery time, or use TPM2_DictionaryAttackLockReset.',
  TPM_RC_OBJECT_MEMORY: 'All slots for transient objects are taken. Flush what is no longer needed.',
  TPM_RC_SESSION_MEMORY: 'All slots for sessions are taken. Flush what is no longer needed.',
  TPM_RC_SESSION_HANDLES:
    'Other programs hold all sessions of the TPM. List them with: tpm2_getcap handles-saved-session',
  TPM_RC_CONTEXT_GAP:
    'Another program has held a session for too long. Find it with: tpm2_getcap handles-saved-session, and end it.',
  TPM_RC_NV_RATE: 'The TPM spares its memory and takes no more writes for a while.',
  TPM_RC_TESTING: 'The TPM is testing itself and does not come to an end.',
  TPM_RC_FAILURE: 'The TPM has failed its self-test; switch the machine off and on.',
  TPM_RC_REBOOT: 'The TPM wants to be reset before it goes on: reboot.',
  TPM_RC_PCR_CHANGED: 'A PCR was extended while the policy was being met. Start the policy session again.',
  TPM_RC_AUTH_FAIL: 'The authValue is wrong.',
  TPM_RC_BAD_AUTH: 'The authValue is wrong.',
}
