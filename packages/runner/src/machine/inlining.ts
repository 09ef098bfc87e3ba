/** How much V8's optimising compiler inlines while a guest runs. It decides how fast the guest is, and nothing else. */
import { setFlagsFromString } from 'node:v8'

/**
 * How many times as large inlining may make a function, and up to what size. What counts fuel and what lets a function be
 * left make small functions three times as large, so that V8 takes fewer of them; more than this was no faster.
 */
const MORE = { factor: 5, budget: 10_000 }
/** V8's own; a test holds that. */
export const AS_BUILT = { factor: 3, budget: 5_000 }

/** Not before a guest has run for a while: as long as a flag differs, all that Node loads is compiled anew. */
export function inlineMore(): void {
  choose(MORE)
}

export function inlineAsBuilt(): void {
  choose(AS_BUILT)
}

const flagsOf = ({ factor, budget }: typeof MORE): readonly string[] => [
  `--wasm-inlining-factor=${factor}`,
  `--wasm-inlining-budget=${budget}`,
]

/** For a process that does nothing else. */
export const INLINING_FLAGS: readonly string[] = flagsOf(MORE)

function choose(how: typeof MORE): void {
  for (const flag of flagsOf(how)) setFlagsFromString(flag)
}
