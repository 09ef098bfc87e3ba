/** What a machine's thread threw. */
import { RunnerError, type RunnerErrorCode } from '../error.ts'
import type { SerializedError } from './serialized-error.ts'

/** What it threw, as what it is to the user: this program, this host, or a mistake of ours. */
export function threadFailure({ name, code, message, hint }: SerializedError): RunnerError {
  const isOfHost = code === undefined || code.startsWith('HOST_')
  const own = name === 'RunnerError' ? (code as RunnerErrorCode) : isOfHost ? 'ENGINE_FAILED' : 'ENGINE_REFUSED'
  return new RunnerError(own, { message, ...(hint !== undefined && { hint }), data: { code, name } })
}
