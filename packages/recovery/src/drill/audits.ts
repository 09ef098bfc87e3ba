export async function checkAudits(_lab: unknown, _fleet: unknown, ids: readonly string[]): Promise<readonly { text: string; holds: boolean }[]> {
  return ids.map((id) => ({ text: `stub ${id}`, holds: true }))
}
