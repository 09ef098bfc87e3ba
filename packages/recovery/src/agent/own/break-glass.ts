/** A release by operators: the session that waits for them, and what their statements open. Rules: spec/operators.md §5. */

import { hex } from '@reprise/core'
import { RecoveryError } from '../../error.ts'
import { waitForOperators, type WaitingRelease } from '../../operators/index.ts'
import { type Generation, readGenerations } from '../../sealing/generations.ts'
import { openByHalves, type Opening, type OpeningParts } from './opening.ts'
import { quoteOwn } from '../witness/failing.ts'

export interface BreakGlass {
  readonly askOperators: (expirationS: number) => Promise<Uint8Array>
  readonly useOperators: (statements: readonly Uint8Array[]) => Promise<number>
  readonly abandon: () => Promise<void>
}

interface Waiting {
  readonly release: WaitingRelease
  readonly generation: Generation
  readonly timer: NodeJS.Timeout
}

export function makeBreakGlass(
  parts: OpeningParts & { readonly isWaiting: () => boolean; readonly onOpened: (opening: Opening) => Promise<void> },
): BreakGlass {
  const { ground, keeper, isWaiting, onOpened } = parts
  let waiting: Waiting | undefined

  async function abandon(): Promise<void> {
    const before = waiting
    waiting = undefined
    clearTimeout(before?.timer)
    await before?.release.abandon()
  }

  function needed(): void {
    if (!isWaiting())
      throw new RecoveryError('NOT_NOW', { message: `${ground.host} waits for no release: there is nothing to open.` })
  }

  return {
    abandon,
    async askOperators(expirationS) {
      needed()
      await abandon()
      const { current: generation } = await readGenerations(keeper)
      if (generation === undefined) throw new TypeError('provisioned without a generation')
      const release = await waitForOperators(ground.pinned, generation, {
        fleet: ground.fleet().plan.fleet,
        akPublic: ground.hostTpm.akPublic,
        quote: (statement) => quoteOwn(ground, statement),
        expirationS,
        nowMs: ground.nowMs(),
      })
      // A session that nobody uses any more takes one of the TPM's three places.
      const timer = setTimeout(() => void abandon(), expirationS * 1000)
      waiting = { release, generation, timer }
      ground.alarm(`operators are asked to release this host, for ${expirationS} s`)
      return release.request
    },
    async useOperators(statements) {
      needed()
      if (waiting === undefined)
        throw new RecoveryError('NOT_NOW', {
          message: `${ground.host} waits for no operators.`,
          hint: 'make a request first: reprise recovery release request',
        })
      const { release, generation, timer } = waiting
      const halves = await release.use(statements)
      clearTimeout(timer)
      waiting = undefined
      const { epoch } = generation.half
      if (halves.kind === 'refused')
        throw new RecoveryError('OPERATORS', {
          message: `The TPM of ${ground.host} does not open the half by these statements: ${halves.rule} (${halves.response}).`,
          hint: 'Make a new request, and have it signed in time.',
        })
      using tpm = halves.tpm
      using quorum = halves.quorum
      const { keys } = ground.fleet().plan.breakGlass
      const names = halves.operators.map((point) => keys.find(({ publicKey }) => publicKey === point)?.name)
      const operators = names.map((name, i) => name ?? hex(Buffer.from(halves.operators[i], 'hex').subarray(1, 9)))
      await ground.audit({ kind: 'break-glass', epoch, operators })
      await onOpened(await openByHalves(parts, generation, { tpm, quorum }))
      return epoch
    },
  }
}
