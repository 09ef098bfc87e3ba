/**
 * What `runner` throws. A code is closed and stable; its kind says which exit code a command gives it.
 *
 * `usage` and `input` are 2 (the user can mend it by another command line or another file), `unknown` is 3 (an answer could
 * not be found out), `failure` is Reprise's own: 125 from `run` and `resume`, 3 elsewhere.
 */
import { RepriseError } from '@reprise/core'

export type RunnerErrorKind = 'usage' | 'input' | 'unknown' | 'failure'

const KINDS = {
  USAGE: 'usage', // an argument that means nothing
  PROGRAM_UNKNOWN: 'usage', // nothing that can be run
  DEFINITION: 'usage', // a computation.yaml with mistakes; data.problems lists them
  INPUT_MISSING: 'input', // no such file
  INPUT_UNREADABLE: 'input', // there, but not for us
  INPUT_NAME: 'input', // a name that no computation can carry
  INPUT_CONFLICT: 'input', // two inputs, or an input and the machine, want one place
  INPUT_TOO_MUCH: 'input', // more than the named limits
  BLOB_MISSING: 'unknown', // the store does not have it
  BLOB_CORRUPT: 'unknown', // the store has other bytes under that digest
  RUNTIME_MISSING: 'failure', // the package with the language runtimes is not installed, or is another version
  PACKAGE: 'input', // a Python package that cannot be added
  RECIPE: 'input', // a recipe of a runtime, or its lock, with a mistake
  RUNTIME_UNKNOWN: 'usage', // no runtime or recipe of that name
  RUNTIME_BUSY: 'input', // another process builds it
  RUNTIME_DAMAGED: 'unknown', // an installed runtime that is not what its manifest says
  RUNTIME_FILE: 'input', // a file that is no exported runtime, or not a whole one
  RUNTIME_SOURCES: 'unknown', // sources that could not be had, or are others than the recipe names
  RUNTIME_TOOLS: 'failure', // packages with the compiler are missing
  RUNTIME_BUILD: 'failure', // the build ended without a runtime
  ENGINE_REFUSED: 'input', // a program that this machine cannot run
  ENGINE_FAILED: 'failure',
  DETERMINISM: 'failure', // what was signed came out differently
  WARM_START: 'unknown', // a warm start that the program does not come to
  RUN_UNKNOWN: 'usage', // no run of that name
  NOT_RESUMABLE: 'input', // a run that cannot be gone on with
  HOST_RULES: 'input', // this host is not one that the computation demands
  ALARMED: 'input', // stopped by a determinism alarm that nobody has discarded
  FORKED: 'input', // gone on with twice: neither is the beginning of the other
  RUN_BUSY: 'input', // another process is at work on it
  STORE_BUSY: 'unknown', // another process collects what nothing needs
  NOT_THE_SNAPSHOT: 'unknown', // another snapshot than the one that was signed
  JOURNAL_DAMAGED: 'unknown', // a wrong line before correct ones
  JOURNAL_WRITE: 'failure',
  DISK_FULL: 'failure',
  WRITE: 'failure', // a file or folder that cannot be written
} as const satisfies Readonly<Record<string, RunnerErrorKind>>

export type RunnerErrorCode = keyof typeof KINDS

export class RunnerError extends RepriseError<RunnerErrorCode> {
  get kind(): RunnerErrorKind {
    return KINDS[this.code]
  }
}

/** The `code` of a system error such as `ENOENT`, else undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** Says that `path` could not be read, why, and what to do. */
export function readFailure(error: unknown, path: string): RunnerError {
  switch (systemCode(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new RunnerError('INPUT_MISSING', {
        message: `${path}: no such file or folder`,
        hint: 'check the spelling and the current folder',
        cause: error,
      })
    case 'EACCES':
    case 'EPERM':
      return new RunnerError('INPUT_UNREADABLE', {
        message: `${path}: permission denied`,
        hint: 'let this user read it, or name with --input only what the program reads',
        cause: error,
      })
    default:
      return new RunnerError('INPUT_UNREADABLE', {
        message: `${path}: cannot be read (${textOf(error)})`,
        cause: error,
      })
  }
}

/** Says that `path` could not be written, why, and what to do; `what` names the content in the user's words. */
export function writeFailure(error: unknown, path: string, what: string): RunnerError {
  switch (systemCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new RunnerError('DISK_FULL', {
        message: `no space left to write ${what} to ${path}`,
        hint: 'free space there and try again; nothing was left half-written',
        cause: error,
      })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new RunnerError('WRITE', {
        message: `not allowed to write ${what} to ${path}`,
        hint: 'let this user write there',
        cause: error,
      })
    default:
      return new RunnerError('WRITE', { message: `cannot write ${what} to ${path} (${textOf(error)})`, cause: error })
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
