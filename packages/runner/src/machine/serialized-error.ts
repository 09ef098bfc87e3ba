/** An error on its way from a thread. */
import { RepriseError } from '@reprise/core'

export interface SerializedError {
  readonly name: string
  readonly code: string | undefined
  readonly message: string
  readonly hint: string | undefined
}

export function serializedError(error: unknown): SerializedError {
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  const known = error instanceof RepriseError ? error : undefined
  return { name, message, code: known?.code as string | undefined, hint: known?.hint }
}
