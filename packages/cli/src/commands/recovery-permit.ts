/** `reprise recovery permit`: another host may deliver credentials and image keys to a host. */
import { makeStatement } from './recovery-statement.ts'

export function action(options: object, [host]: readonly string[]): Promise<number> {
  return makeStatement('delivery', options, host)
}
