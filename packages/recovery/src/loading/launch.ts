/** One service as a process: its start, its credentials, its output, its end. Protocol with the holder: spec/loading.md §5. */

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { RecoveryError } from '../error.ts'
import { failureOf, holderPath, type Namespaces } from './holder.ts'
import type { Program } from './programs.ts'
import type { Credentials } from './types.ts'

/** How a service ended. */
export type Ending =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'killed'; readonly signal: number }
  /** It never started: there is no such program, or the like. */
  | { readonly kind: 'not-started'; readonly why: string }

export interface Launched {
  /** True as soon as the program runs; false when it does not. */
  readonly started: Promise<boolean>
  readonly ended: Promise<Ending>
  /** SIGTERM to the processes of the service. */
  readonly terminate: () => void
  /** SIGKILL. */
  readonly kill: () => void
}

export interface LaunchRequest {
  readonly namespaces: Namespaces
  readonly program: Program
  /** What is added to its environment. */
  readonly environment: Readonly<Record<string, string>>
  /** The folder that is made for its credentials, as the namespaces see it; undefined when it has none. */
  readonly credentialsFolder: string | undefined
  readonly credentials: Credentials
  readonly onLine: (line: string) => void
}

const LINE_CHARACTERS_MAX = 4096
/** How long output that was written before the end may take to arrive, in milliseconds. */
const OUTPUT_AFTER_END_MS = 500
const CREDENTIAL_BYTES_MAX = 1 << 20
/** Nothing of Reprise's own environment: it is not the image's matter. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' }

/**
 * Starts a service. Its credentials are gone from memory here when it has them, but for what the caller holds.
 *
 * @throws {@link RecoveryError} `LOADING` for a credential that is too large.
 */
export function launch(request: LaunchRequest): Launched {
  const { namespaces, program, credentialsFolder: folder, onLine } = request
  checkCredentials(request.credentials)
  const args = [namespaces, program.uid, program.gid, program.directory, folder ?? '-'].map(String)
  const child = spawn(holderPath(), ['run', ...args, '--', ...program.command], {
    env: { ...ENVIRONMENT, ...program.environment, ...request.environment },
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    detached: true,
  })
  const [input, output, errors, report] = child.stdio as unknown as [Writable, Readable, Readable, Readable]
  for (const stream of [input, report]) stream.on('error', () => undefined)
  giveCredentials(input, request.credentials)
  const read = [output, errors].map((stream) => eachLine(stream, onLine))
  const started = Promise.withResolvers<boolean>()
  const ended = Promise.withResolvers<Ending>()
  const end = async (ending: Ending): Promise<void> => {
    started.resolve(false)
    await Promise.race([Promise.all(read), new Promise((resolve) => setTimeout(resolve, OUTPUT_AFTER_END_MS).unref())])
    // What a process that outlived the service still holds open is not waited for.
    output.destroy()
    errors.destroy()
    ended.resolve(ending)
  }
  let ending: Ending = { kind: 'not-started', why: 'the holder ended without a word' }
  child.once('error', (error) => void end({ kind: 'not-started', why: error.message }))
  createInterface({ input: report })
    .on('line', (line) => {
      if (line === 'started') started.resolve(true)
      ending = endingOf(line) ?? ending
    })
    .on('close', () => void end(ending))
  return {
    started: started.promise,
    ended: ended.promise,
    terminate: () => void child.kill('SIGTERM'),
    kill: () => void child.kill('SIGUSR1'),
  }
}

function endingOf(line: string): Ending | undefined {
  const [, word, number] = /^(exited|killed) (\d+)$/.exec(line) ?? []
  if (word === 'exited') return { kind: 'exited', code: Number(number) }
  if (word === 'killed') return { kind: 'killed', signal: Number(number) }
  // Started, and then no more word of its end: somebody killed the holder, and its service with it.
  if (line === 'started') return { kind: 'killed', signal: 9 }
  const failure = failureOf(line)
  return failure && { kind: 'not-started', why: failure.what }
}

/** Before anything is started. */
function checkCredentials(credentials: Credentials): void {
  for (const [name, { bytes }] of credentials) {
    if (bytes.length > CREDENTIAL_BYTES_MAX) {
      throw new RecoveryError('LOADING', {
        message: `The credential ${name} has ${bytes.length} bytes; a service is given ${CREDENTIAL_BYTES_MAX} at most.`,
        hint: 'Give the service a key, and encrypt the rest with it.',
      })
    }
  }
}

/** u32 length and bytes of the name, then of the content; nothing of it in arguments or environment. */
function giveCredentials(input: Writable, credentials: Credentials): void {
  for (const [name, { bytes }] of credentials) {
    const nameBytes = Buffer.from(name)
    const message = Buffer.alloc(8 + nameBytes.length + bytes.length)
    message.writeUInt32BE(nameBytes.length, 0)
    message.set(nameBytes, 4)
    message.writeUInt32BE(bytes.length, 4 + nameBytes.length)
    message.set(bytes, 8 + nameBytes.length)
    input.write(message, () => message.fill(0))
  }
  input.end()
}

/** Settled when the stream has ended. Lines that are too long are cut, and their rest is dropped. */
function eachLine(stream: Readable, onLine: (line: string) => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = (lines.pop() ?? '').slice(0, LINE_CHARACTERS_MAX)
    for (const line of lines) onLine(line.slice(0, LINE_CHARACTERS_MAX))
  })
  stream.once('end', () => {
    if (rest !== '') onLine(rest)
  })
  stream.once('close', resolve)
  stream.once('error', () => resolve())
  return promise
}

export function endingText(ending: Ending): string {
  switch (ending.kind) {
    case 'exited':
      return `ended with ${ending.code}`
    case 'killed':
      return `was killed by signal ${ending.signal}`
    case 'not-started':
      return `cannot be started: ${ending.why}`
  }
}
