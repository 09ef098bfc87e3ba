/** The compiled form of a thread's code, see tools/code.cjs. Where code runs from source, none is kept. */

const KEEP = Symbol.for('reprise.keepCode')

/** For a thread that is ended from outside and stands still where no timer reaches it. */
export function keepCode(): void {
  ;(globalThis as { [KEEP]?: () => void })[KEEP]?.()
}
