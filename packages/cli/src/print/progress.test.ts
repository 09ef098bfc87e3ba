import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { progressLine } from './progress.ts'

/** `written` tells what came since it was last called. */
function terminal(): { readonly stream: NodeJS.WriteStream; readonly written: () => string } {
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 80 })
  return {
    stream: stream as unknown as NodeJS.WriteStream,
    written() {
      let text = ''
      for (let chunk; (chunk = stream.read() as Buffer | null) !== null;) text += chunk.toString()
      return text
    },
  }
}

test('a line that somebody else has begun is not wiped', () => {
  const { stream, written } = terminal()
  const line = progressLine(stream)
  line.show('one')
  line.clear(true)
  stream.write('begun')
  line.show('two')
  expect(written()).toBe('\r\u001b[Kone\r\u001b[Kbegun')
  line.clear(false)
  stream.write(' and ended\n')
  line.show('three')
  expect(written()).toBe(' and ended\n\r\u001b[Kthree')
})

test('without a terminal nothing is written', () => {
  const { stream, written } = terminal()
  const line = progressLine(Object.assign(stream, { isTTY: false }))
  line.show('one')
  line.clear()
  expect(written()).toBe('')
})
