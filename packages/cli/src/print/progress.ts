/** One line on stderr that renews itself and vanishes; silent when nobody watches. */

export interface ProgressLine {
  show(text: string): void
  /** Takes the line away and ends one that a program left open, so that lines of our own can come. */
  clear(): void
  /**
   * Takes the line away for what a program writes on the terminal.
   *
   * @param leavesLineOpen - That does not end its line: nothing is shown, which would wipe it, until the next call.
   */
  giveWay(leavesLineOpen: boolean): void
}

const REDRAW_MS = 100

export function progressLine(stream: NodeJS.WriteStream = process.stderr): ProgressLine {
  if (!stream.isTTY) return { show() {}, clear() {}, giveWay() {} }
  let shownMs = 0
  let isShown = false
  let isLineOpen = false
  const wipe = (): void => {
    if (isShown) stream.write('\r\u001b[K')
    isShown = false
    shownMs = 0
  }
  return {
    show(text) {
      const now = performance.now()
      if (isLineOpen || now - shownMs < REDRAW_MS) return
      shownMs = now
      isShown = true
      // A terminal that does not know its width says 0.
      stream.write(`\r\u001b[K${text.slice(0, Math.max(20, (stream.columns || 80) - 1))}`)
    },
    clear() {
      wipe()
      if (isLineOpen) stream.write('\n')
      isLineOpen = false
    },
    giveWay(leavesLineOpen) {
      wipe()
      isLineOpen = leavesLineOpen
    },
  }
}
