/** JSON that people write: a name that stands twice would be read as its last one, and shown as either. */
import { wrong } from '../record/shape.ts'

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:]/gs

/**
 * @param text - JSON, parsed already.
 * @throws {@link EvidenceError} `STRUCTURE` for an object that has a name twice.
 */
export function checkUniqueNames(text: string): void {
  // The names of each object that is open; undefined for a list.
  const open: (Set<string> | undefined)[] = []
  let before = ''
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{') open.push(new Set())
    else if (token === '[') open.push(undefined)
    else if (token === '}' || token === ']') open.pop()
    else if (token === ':') {
      const name = JSON.parse(before) as string
      const names = open.at(-1)
      if (names?.has(name) === true) throw wrong('$', `has the name ${JSON.stringify(name)} twice in one object`)
      names?.add(name)
    }
    before = token
  }
}
