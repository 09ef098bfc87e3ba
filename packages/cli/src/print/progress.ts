/** One line on stderr that renews itself and vanishes; silent when nobody watches. */

export interface ProgressLine {
  show(text: string): void
  /**
   * Takes the line away, so that other output can come.
   *
   * @param leavesLineOpen - What comes does not end its line: nothing is shown, which would wipe it, until the next call.
   */
  clear(leavesLineOpen?: boolean): void
}

const REDRAW_MS = 100

export function progressLine(stream: NodeJS.WriteStream = process.stderr): ProgressLine {
  if (!stream.isTTY) return { show() {}, clear() {} }
  let shownMs = 0
  let isShown = false
  let isLineOpen = false
  return {
    show(text) {
      const now = performance.now()
      if (isLineOpen || now - shownMs < REDRAW_MS) return
      shownMs = now
      isShown = true
      stream.write(`\r\u001b[K${text.slice(0, Math.max(20, (stream.columns ?? 80) - 1))}`)
    },
    clear(leavesLineOpen = false) {
      if (isShown) stream.write('\r\u001b[K')
      isShown = false
      isLineOpen = leavesLineOpen
      shownMs = 0
    },
  }
}
