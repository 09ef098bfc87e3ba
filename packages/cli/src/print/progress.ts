/** One line on stderr that renews itself and vanishes; silent when nobody watches. */

export interface ProgressLine {
  show(text: string): void
  /** Takes the line away, so that other output can come. */
  clear(): void
}

const REDRAW_MS = 100

export function progressLine(stream: NodeJS.WriteStream = process.stderr): ProgressLine {
  if (!stream.isTTY) return { show() {}, clear() {} }
  let shownMs = 0
  let isShown = false
  return {
    show(text) {
      const now = performance.now()
      if (now - shownMs < REDRAW_MS) return
      shownMs = now
      isShown = true
      stream.write(`\r\u001b[K${text.slice(0, Math.max(20, (stream.columns ?? 80) - 1))}`)
    },
    clear() {
      if (isShown) stream.write('\r\u001b[K')
      isShown = false
      shownMs = 0
    },
  }
}
