/**
 * Waiting for signatures: the machine may run ahead of the TPM by a bounded time, never past it for
 * good. When signing is lost the run goes on and says so; it never pretends.
 */
import { environmentDigest, fromHex, wantedRegisters, type Attestation } from '@reprise/core'
import type { RunSigner } from '@reprise/host'
import { nodeCrypto } from '../crypto.ts'
import { RunnerError } from '../error.ts'
import type { HostWatch } from '../host/index.ts'
import type { Evidence } from './evidence.ts'
import type { Session } from './execute.ts'
import type { ReadyHost } from './prepare.ts'

/** Tells the signer of an attempt: what its TPM says of the begin, it says while the machine gets ready. */
export async function openAttempt(
  { signer, look }: Pick<ReadyHost, 'signer' | 'look'>,
  {
    run,
    computation,
    attempt,
    previous,
  }: Pick<Session, 'run' | 'computation' | 'attempt'> & { readonly previous: Attestation | null },
): Promise<RunSigner> {
  return await signer.openRun({
    runId: fromHex(run),
    attempt: attempt.attempt,
    firstSeq: attempt.firstSeq,
    environmentDigest: environmentDigest(attempt.environment, nodeCrypto.sha256),
    previous,
    pcrs: wantedRegisters(look.logs, computation.host),
  })
}

export interface SigningOptions {
  /** Closed with the signing. */
  readonly runSigner: RunSigner
  readonly evidence: Evidence
  readonly maxLagMs: number
  readonly onTrouble: ((message: string) => void) | undefined
  readonly signal: AbortSignal | undefined
  /** Sees every receipt first; after a `stop` nothing more is signed. */
  readonly watch: HostWatch
  readonly onStop: () => void
}

export interface Signing extends Disposable {
  /** Resolves when `seq` is signed, or when signing is lost. */
  waitFor(seq: number): Promise<void>
  /** Resolves at once unless the oldest unsigned checkpoint is older than the bound. */
  waitForLag(): Promise<void>
  isWaiting(): boolean
  waitedMs(): number
  /** Why nothing more will be signed; undefined while all is well. */
  lost(): string | undefined
}

/** After an interrupt, a TPM that does not answer is waited for this long. */
const INTERRUPT_GRACE_MS = 5000

export function createSigning(options: SigningOptions): Signing {
  const { runSigner, evidence, maxLagMs, onTrouble } = options
  let lost: string | undefined
  let waiting = 0
  let waitedMs = 0
  const giveUp = new AbortController()
  let grace: NodeJS.Timeout | undefined
  const onAbort = (): void => {
    grace = setTimeout(() => giveUp.abort(new Error('interrupted while waiting for the TPM')), INTERRUPT_GRACE_MS)
  }
  options.signal?.addEventListener('abort', onAbort)
  if (options.signal?.aborted === true) onAbort()
  let isStopped = false
  const onReceipt = (receipt: Attestation): void => {
    if (options.watch.look(receipt) === 'go') return evidence.onReceipt(receipt)
    if (options.watch.stopped()?.isFirst === true) evidence.seal()
    else evidence.stop(receipt)
    isStopped = true
    giveUp.abort(new Error('the host is not one that the computation demands'))
    options.onStop()
  }
  runSigner.listen(onReceipt)
  evidence.attach(runSigner)

  const waitFor = async (seq: number): Promise<void> => {
    if (lost !== undefined || isStopped || seq <= evidence.state().signedSeq) return
    const startedMs = performance.now()
    waiting += 1
    try {
      await evidence.waitSigned(seq, giveUp.signal)
    } catch (error) {
      // A journal that cannot be written is the run's failure; a TPM that is gone is an unsigned tail.
      if (error instanceof RunnerError) throw error
      if (isStopped) return
      lost = (error as Error).message
      onTrouble?.(`signing has ended: ${lost}`)
    } finally {
      waiting -= 1
      waitedMs += performance.now() - startedMs
    }
  }
  return {
    waitFor,
    async waitForLag() {
      const { lagMs, checkpoints } = evidence.state()
      if (lagMs > maxLagMs) await waitFor(checkpoints - 1)
    },
    isWaiting: () => waiting > 0,
    waitedMs: () => waitedMs,
    lost: () => lost,
    [Symbol.dispose]() {
      clearTimeout(grace)
      options.signal?.removeEventListener('abort', onAbort)
      runSigner.close()
    },
  }
}
