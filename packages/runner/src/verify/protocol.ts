/** What goes between the command's thread and those that verify. */
import type { VerifyResult } from '@reprise/core'
import type { SerializedError } from '../machine/serialized-error.ts'
import type { VerifyPolicy } from './verify-file.ts'

export interface VerifyWorkerData {
  readonly policy: VerifyPolicy
}

export interface VerifyRequest {
  /** The place among the batches. */
  readonly index: number
  readonly paths: readonly string[]
}

/** One for each path, in their order. */
export interface VerifyAnswer {
  readonly index: number
  readonly answers: readonly SentAnswer[]
}

export type SentAnswer =
  | { readonly kind: 'verified'; readonly result: VerifyResult }
  | { readonly kind: 'failed'; readonly error: SerializedError }
