/** Whether a witness that knows nothing of a host takes the first share that comes of it: spec/agent.md §5. */

/**
 * What another witness of that host says of its lease keys. `led`: links lead from one that it has to the new one; `against`:
 * it has one, and they do not; `none`: it has none either.
 */
export type Voucher = 'led' | 'against' | 'none' | 'silent'

/** `wait`: too few answer to tell. */
export type Vouched = 'take' | 'wait' | 'refuse'

/**
 * @param vouchers - All witnesses of the host but the one that asks.
 * @param threshold - K: so many are believed, fewer may lie.
 */
export function judgeVouchers(vouchers: readonly Voucher[], threshold: number): Vouched {
  const said = (what: Voucher): number => vouchers.filter((each) => each === what).length
  const needed = Math.min(threshold, vouchers.length)
  if (said('led') >= needed) return 'take'
  // One that lies can keep a share from being taken, and be seen; it cannot have one taken.
  if (said('against') > 0) return 'refuse'
  return said('led') + said('none') >= needed ? 'take' : 'wait'
}
