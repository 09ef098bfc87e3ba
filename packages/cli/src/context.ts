/** What every command shares: where the state is, the TPM's signer, and an end that can be asked for. */
import { connectSigner, repriseHome, type Signer } from '@reprise/host'
import { createHome, openBlobStore, type BlobStore } from '@reprise/runner'

export interface Context {
  readonly home: string
  readonly json: boolean
  /** Aborted by the first Ctrl-C or SIGTERM; the second one ends the process. */
  readonly signal: AbortSignal
}

export function createContext(json: boolean): Context {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      controller.abort(new Error(name))
      process.once(name, () => process.exit(128 + (name === 'SIGINT' ? 2 : 15)))
    })
  }
  return { home: repriseHome(), json, signal: controller.signal }
}

export async function openStore({ home }: Context): Promise<BlobStore> {
  return await openBlobStore(await createHome(home))
}

/** The signer of this host, started when none runs; failures come when it is awaited. */
export function openSigner({ home }: Context): Promise<Signer> {
  const signer = connectSigner({ home })
  // A run prepares its machine meanwhile, and looks at this when that is done.
  signer.catch(() => {})
  return signer
}
