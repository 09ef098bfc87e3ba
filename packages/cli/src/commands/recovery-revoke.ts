/** `reprise recovery revoke`: nothing is released to a host any more. */
import { makeStatement } from './recovery-statement.ts'

export function action(options: object, [host]: readonly string[]): Promise<number> {
  return makeStatement('revocation', options, host)
}
