/**
 * What a host last saw of its TPM, kept beside the TPM's own state: a state that was copied back is older than that, and
 * nothing is signed with it. Rules: spec/power-cycles.md §6.
 */

import { fromUtf8 } from '@reprise/core'
import { HostError } from '../error.ts'
import { readIfThere, writeAtomically } from '../files.ts'
import { bigDecimal, integer, object, oneOf } from '../signer/decode.ts'
import type { TpmClock } from '../signer/protocol.ts'

export interface KnownPower extends TpmClock {
  readonly counter: bigint
}

const count32 = integer(0, 0xffffffff)
const decode = object<KnownPower & { readonly schema: 'reprise/power/v1' }>({
  schema: oneOf('reprise/power/v1'),
  counter: bigDecimal,
  resetCount: count32,
  restartCount: count32,
  clock: bigDecimal,
})

/** @throws {@link HostError} `IDENTITY_DAMAGED` when the file is missing or is none. */
export async function readKnown(path: string): Promise<KnownPower> {
  const content = await readIfThere(path)
  try {
    if (content === undefined) throw new Error('it is missing')
    const { counter, resetCount, restartCount, clock } = decode(JSON.parse(fromUtf8(content)), 'power')
    return { counter, resetCount, restartCount, clock }
  } catch (cause) {
    throw new HostError('IDENTITY_DAMAGED', {
      message: `${path} cannot be read, so that nobody knows whether the TPM is as it was left: ${(cause as Error).message}`,
      hint: 'Bring the file back from a backup, or give this host a new identity: reprise host init --new',
      cause,
    })
  }
}

export async function writeKnown(path: string, known: KnownPower): Promise<void> {
  const { counter, resetCount, restartCount, clock } = known
  const json = { schema: 'reprise/power/v1', counter: `${counter}`, resetCount, restartCount, clock: `${clock}` }
  await writeAtomically(path, `${JSON.stringify(json, undefined, 2)}\n`)
}

/** Whether a TPM says that less has happened to it than was known. */
export function isOlder(known: TpmClock, now: TpmClock): boolean {
  if (now.resetCount !== known.resetCount) return now.resetCount < known.resetCount
  if (now.restartCount !== known.restartCount) return now.restartCount < known.restartCount
  return now.clock < known.clock
}

/**
 * @param now - Of the TPM as it is.
 * @throws {@link HostError} `TPM_ROLLED_BACK`.
 */
export function checkNotOlder(known: KnownPower, now: KnownPower, where: string): void {
  const say = ({ counter, resetCount, restartCount, clock }: KnownPower): string =>
    `counter ${counter}, ${resetCount} resets, ${restartCount} restarts, clock ${clock} ms`
  if (now.counter < known.counter || isOlder(known, now)) {
    throw new HostError('TPM_ROLLED_BACK', {
      message: `The state of ${where} is older than what this host last saw of it: it is at ${say(now)}, and was at ${say(known)}.`,
      hint: 'An old copy was brought back. Bring the newest one back, or become a new host: reprise host init --new',
    })
  }
  // A crash may have come between an increment and its note, never between two.
  if (now.counter > known.counter + 1n) {
    throw new HostError('TPM_ROLLED_BACK', {
      message: `${where} was used by somebody else: its counter is at ${now.counter}, and this host counted to ${known.counter}.`,
      hint: 'A copy of this host signs elsewhere, and both would count as one. Give this one a new identity: reprise host init --new',
    })
  }
}
