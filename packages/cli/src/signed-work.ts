/** What goes on with a run and what repeats one share: the signer, and the line that tells how far it is. */
import type { Signer } from '@reprise/host'
import { openSigner, type Context } from './context.ts'
import { advise } from './print/format.ts'
import { runProgress, type RunProgressLine } from './print/run-progress.ts'

export interface SignedWork extends AsyncDisposable {
  readonly signer: Promise<Signer>
  readonly progress: RunProgressLine
  readonly onTrouble: (message: string) => void
}

export function openSignedWork(context: Context): SignedWork {
  const progress = runProgress()
  const onTrouble = (message: string): void => {
    progress.clear()
    advise(message)
  }
  const signer = openSigner(context, onTrouble)
  return { signer: signer.ready, progress, onTrouble, [Symbol.asyncDispose]: () => signer[Symbol.asyncDispose]() }
}
