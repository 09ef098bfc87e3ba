/** Segments: the stretches between neighbouring snapshots, which can be repeated one by one. Format: spec/record.md §9. */

/**
 * Where segments begin and end: at checkpoint 0, at every snapshot, at the last checkpoint; ascending, each once. There is
 * one segment less than there are bounds.
 *
 * @param lastSeq - -1 when there is no checkpoint.
 */
export function segmentBounds(snapshots: readonly { readonly seq: number }[], lastSeq: number): number[] {
  if (lastSeq < 0) return []
  const inside = snapshots.map(({ seq }) => seq).filter((seq) => seq > 0 && seq < lastSeq)
  return [...new Set([0, ...inside, lastSeq])]
}

/**
 * How likely repeating `repeated` segments, drawn at random in proportion to their weights, finds the bad one when exactly
 * one of them is bad, whichever it is: 1 - (1 - w)^repeated, w being the share of the lightest, and 1 when all are
 * repeated. Drawing without putting back only finds it sooner. It says something only when the verifier drew the
 * segments after it had the record.
 *
 * @param weights - Of all segments, in any unit, none below 0; all the same unless given.
 * @returns 0 to 1.
 */
export function confidence({
  total,
  repeated,
  weights,
}: {
  readonly total: number
  readonly repeated: number
  readonly weights?: readonly number[]
}): number {
  if (total === 0 || repeated <= 0) return 0
  if (repeated >= total) return 1
  const sum = weights?.reduce((a, b) => a + b, 0) ?? total
  const lightest = weights?.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY) ?? 1
  return sum > 0 ? 1 - (1 - lightest / sum) ** repeated : 0
}
