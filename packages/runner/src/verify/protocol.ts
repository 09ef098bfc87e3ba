/** What goes between the command's thread and those that verify. */
import type { VerifyResult } from '@reprise/core'
import type { SerializedError } from '../machine/serialized-error.ts'
import type { VerifyPolicy } from './verify-file.ts'

export interface VerifyWorkerData {
  readonly policy: VerifyPolicy
}

export interface VerifyRequest {
  /** The place in the list. */
  readonly index: number
  readonly path: string
}

export type VerifyAnswer =
  | { readonly kind: 'verified'; readonly index: number; readonly result: VerifyResult }
  | { readonly kind: 'failed'; readonly index: number; readonly error: SerializedError }
