/** `reprise recovery extend`: the lease of a host counts anew. */
import { makeStatement } from './recovery-statement.ts'

export function action(options: object, [host]: readonly string[]): Promise<number> {
  return makeStatement('extension', options, host)
}
