/** How a command ends when it cannot answer: what happened, what to do, and the exit code for it. */
import { EvidenceError, RepriseError } from '@reprise/core'
import { HostError, type HostErrorCode } from '@reprise/host'
import { RecoveryError } from '@reprise/recovery'
import { RunnerError, writeFailure } from '@reprise/runner'
import { EXIT_NO, EXIT_USAGE, ownFailureCode } from '../exit.ts'
import { paint, safe } from './format.ts'
import { isShortage } from './shortage.ts'

export interface Failure {
  readonly code: string
  readonly message: string
  readonly hint: string | undefined
  readonly exitCode: number
}

/** Something was checked, and the answer is no. */
const NO: ReadonlySet<HostErrorCode> = new Set([
  'ENROLMENT_REFUSED',
  'AUTHORITY_UNKNOWN',
  'CERTIFICATE',
  'AUTHORITY_LOG',
  'AUTHORITY_STATE',
])
const NOT_USABLE: ReadonlySet<HostErrorCode> = new Set(['AUTHORITY_NAME', 'AUTHORITY_HOME'])

/** @param command - Which one failed: it decides the exit code. */
export function describeFailure(error: unknown, command: string): Failure {
  // What failed on the way out matters less than what led there.
  if (error instanceof SuppressedError) return describeFailure(error.suppressed, command)
  const own = ownFailureCode(command)
  // Wherever it shows, and whatever was about to be done.
  if (isShortage(error))
    return {
      code: 'MEMORY',
      message: `the system gives no more memory or threads (${(error as Error).message})`,
      hint: 'a run asks for 8 GB of addresses and a stack of 1 GiB, of which it takes what it uses: allow it more (ulimit -v and -u, vm.overcommit_memory, the limits of a container), or end something',
      exitCode: own,
    }
  if (error instanceof RunnerError || error instanceof RecoveryError) {
    const exitCode = error.kind === 'usage' || error.kind === 'input' ? EXIT_USAGE : own
    return { code: error.code, message: error.message, hint: error.hint, exitCode }
  }
  if (error instanceof EvidenceError)
    return { code: error.code, message: error.message, hint: error.hint, exitCode: EXIT_USAGE }
  if (error instanceof HostError) {
    const exitCode = NO.has(error.code) ? EXIT_NO : NOT_USABLE.has(error.code) ? EXIT_USAGE : own
    return { code: error.code, message: error.message, hint: error.hint, exitCode }
  }
  if (error instanceof RepriseError)
    return { code: String(error.code), message: error.message, hint: error.hint, exitCode: own }
  const { message, stack } = error instanceof Error ? error : new Error(String(error))
  const shown = process.env['REPRISE_DEBUG'] === undefined ? message : (stack ?? message)
  return {
    code: 'UNEXPECTED',
    message: shown,
    hint: 'this is a mistake in Reprise; run it again with REPRISE_DEBUG=1 and report what it says',
    exitCode: own,
  }
}

export function failureAnswer({ code, message, hint }: Failure): object {
  return { schema: 'reprise/error/v1', code, message, ...(hint !== undefined && { hint }) }
}

export function printFailure(failure: Failure, json: boolean): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(failureAnswer(failure))}\n`)
    return
  }
  const { stderr } = process
  stderr.write(`${paint('red', 'error', stderr)}   ${failure.code}   ${safe(failure.message)}\n`)
  if (failure.hint !== undefined) stderr.write(`  try: ${safe(failure.hint)}\n`)
}

/** Ends a command whose answer could not be written. */
export function endUnwritten(error: Error, command: string): never {
  const failure = describeFailure(writeFailure(error, 'stdout', 'the answer'), command)
  printFailure(failure, false)
  process.exit(failure.exitCode)
}
