/** How often one address may ask: a bucket of tokens for each, forgotten when it is full again. */

/** More addresses than this at a time, and the oldest ones begin anew. */
const ADDRESSES_MAX = 50_000

export interface RateOptions {
  readonly burst: number
  readonly perSecond: number
  readonly now: () => number
}

export class RateLimit {
  readonly #options: RateOptions
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>()

  constructor(options: RateOptions) {
    this.#options = options
  }

  /** Takes a token. @returns False when the address has none left. */
  take(address: string): boolean {
    const { burst, perSecond, now } = this.#options
    const key = networkOf(address)
    const nowMs = now()
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: nowMs }
    const tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * perSecond)
    // Deleted and set again, so that the first of the map is the one that asked longest ago.
    this.#buckets.delete(key)
    this.#buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs })
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= ADDRESSES_MAX) break
      this.#buckets.delete(oldest)
    }
    return tokens >= 1
  }
}

/** Who has one IPv6 address has 2^64 of them. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address
  return address.split(':').slice(0, 4).join(':')
}
