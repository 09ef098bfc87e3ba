/** Whether an argument names a run of this host: such a name is never taken for a file. */
export function isRunName(name: string): boolean {
  return name === 'last' || /^[0-9a-f]{4,64}$/.test(name)
}
