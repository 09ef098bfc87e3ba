/** A fact, or why there is none. Format: spec/event-log.md §6. */

export type Fact<T> =
  | {
      readonly known: true
      readonly value: T
      /** Registers and events that it rests on. */
      readonly pcrs: readonly number[]
      readonly events: readonly number[]
    }
  | {
      readonly known: false
      readonly why: string
      /** Events at fault, where there are any. */
      readonly events: readonly number[]
    }

/** An event of a register that replays to its quoted value: what neither host nor log can choose. */
export interface MeasuredEvent {
  readonly event: number
  readonly pcr: number
  readonly digest: Uint8Array
  /** What the digest is of, where the log has it. */
  readonly bytes: Uint8Array | undefined
  /** By its digest: ends what firmware measures before it starts anything else. */
  readonly separates: 'yes' | 'error' | 'no'
}

export function known<T>(
  value: T,
  basis: { readonly pcrs: readonly number[]; readonly events: readonly number[] },
): Fact<T> {
  return { known: true, value, ...basis }
}

export function unknown(why: string, events: readonly number[] = []): Fact<never> {
  return { known: false, why, events }
}
