/** How the board looks in a terminal: words say it, colour repeats it. */
import type { Emphasis } from '@reprise/recovery/board'
import { paint, safe } from './format.ts'

const COLOURS = {
  title: 'bold',
  quiet: 'dim',
  alarm: 'red',
  waiting: 'yellow',
  coming: undefined,
  silent: 'dim',
  serving: 'green',
} as const satisfies Readonly<Record<Emphasis, Parameters<typeof paint>[0] | undefined>>

export function boardStyle(emphasis: Emphasis, text: string): string {
  const colour = COLOURS[emphasis]
  return colour === undefined ? safe(text) : paint(colour, safe(text), process.stdout)
}
