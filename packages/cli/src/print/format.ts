/** Numbers, sizes and digests as people read them. */
import { styleText } from 'node:util'

export function count(value: number, noun: string, plural = `${noun}s`): string {
  return `${grouped(value)} ${value === 1 ? noun : plural}`
}

/** A whole number with its thousands apart: `12,345`. Loading what knows all languages takes longer than a short program. */
export function grouped(value: number): string {
  return String(value).replaceAll(/\B(?=(?:\d{3})+$)/g, ',')
}

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

export function bytes(lengthBytes: number): string {
  let value = lengthBytes
  let unit = 0
  while (value >= 1024 && unit + 1 < SIZES.length) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${SIZES[unit]}`
}

const SCALES = ['', ' k', ' M', ' G', ' T', ' P'] as const

/** 3210000000n → `3.21 G`. */
export function fuel(position: bigint): string {
  let value = Number(position)
  let scale = 0
  while (value >= 1000 && scale + 1 < SCALES.length) {
    value /= 1000
    scale += 1
  }
  return `${scale === 0 ? value : value.toPrecision(3)}${SCALES[scale]}`
}

export function duration(elapsedMs: number): string {
  if (elapsedMs < 1000) return `${Math.round(elapsedMs)} ms`
  if (elapsedMs < 60_000) return `${(elapsedMs / 1000).toFixed(1)} s`
  const minutes = Math.floor(elapsedMs / 60_000)
  return `${minutes} min ${Math.round((elapsedMs % 60_000) / 1000)} s`
}

/** The two ends of a digest: enough to compare by eye, never enough to check by. */
export function short(digest: string): string {
  return `${digest.slice(0, 4)}…${digest.slice(-4)}`
}

type Colour = 'green' | 'red' | 'yellow' | 'bold' | 'dim'

/** Colour only repeats what the words say; `NO_COLOR` and pipes get none. */
export function paint(colour: Colour, text: string, stream: NodeJS.WriteStream): string {
  return styleText(colour, text, { stream })
}

/** Text from outside, safe for a terminal: control characters are shown, not obeyed. */
export function safe(text: string): string {
  return text.replaceAll(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** One line of advice on stderr. */
export function advise(line: string): void {
  process.stderr.write(`${paint('yellow', 'note', process.stderr)}   ${safe(line)}\n`)
}

/** A path below the current folder without that folder. */
export function shortPath(path: string): string {
  const folder = `${process.cwd()}/`
  return path.startsWith(folder) ? path.slice(folder.length) : path
}
