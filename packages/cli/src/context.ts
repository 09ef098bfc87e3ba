/** What every command shares: where the state is, the TPM's signer, and an end that can be asked for. */
import { connectSigner, repriseHome, type Signer } from '@reprise/host'
import { openBlobStore, type BlobStore } from '@reprise/runner'
import { Interrupted } from './interrupted.ts'

export interface Context {
  readonly home: string
  /** Aborted by the first Ctrl-C or SIGTERM; a later one ends the process. */
  readonly signal: AbortSignal
}

/** What comes so soon is the same wish: `timeout` and `npm` send what the terminal, or they themselves, sent already. */
const SAME_WISH_MS = 500

export function createContext(): Context {
  const controller = new AbortController()
  for (const [name, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const) {
    let firstAtMs = Infinity
    process.on(name, () => {
      if (performance.now() - firstAtMs > SAME_WISH_MS) process.exit(128 + number)
      firstAtMs = Math.min(firstAtMs, performance.now())
      controller.abort(new Interrupted(name))
    })
  }
  return { home: repriseHome(), signal: controller.signal }
}

let early: { readonly home: string; readonly store: Promise<BlobStore> } | undefined

/** For a command that will most likely ask for much: the lock that this waits for takes as long as the loading of a command. */
export function openStoreEarly(home: string): void {
  const store = openBlobStore(home)
  early = { home, store }
  store.then((opened) => opened.begin()).catch(() => {})
}

export async function openStore({ home }: Context): Promise<BlobStore> {
  return await (early?.home === home ? early.store : openBlobStore(home))
}

const NOT_WANTED = Symbol('not wanted')

export interface OpeningSigner extends AsyncDisposable {
  readonly ready: Promise<Signer>
}

/**
 * Begins to connect to this host's signer, started when none runs; failures come when `ready` is awaited.
 *
 * @param startAfter - None is started before that.
 */
export function openSigner(
  { home }: Context,
  onTrouble: (message: string) => void,
  startAfter?: Promise<unknown>,
): OpeningSigner {
  const ready = connectSigner({ home, onTrouble, ...(startAfter && { startAfter }) })
  ready.catch(() => {})
  // Whoever made it sees what fails there.
  startAfter?.catch(() => {})
  return {
    ready,
    async [Symbol.asyncDispose]() {
      const closed = ready.then(
        (signer) => signer.close(),
        () => {},
      )
      // A command that fails before it wants one does not wait for it.
      const isWanted = (await startAfter?.catch(() => NOT_WANTED)) !== NOT_WANTED
      if (isWanted) await closed
    },
  }
}
