/** Maps with at most `limit` promises at work, keeps the order, and starts nothing more once one has failed. */
export async function mapLimited<T, U>(items: readonly T[], limit: number, map: (item: T) => Promise<U>): Promise<U[]> {
  const results: U[] = []
  results.length = items.length
  let next = 0
  let failed = false
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const at = next++
      try {
        results[at] = await map(items[at])
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const settled = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, worker))
  for (const result of settled) if (result.status === 'rejected') throw result.reason
  return results
}
