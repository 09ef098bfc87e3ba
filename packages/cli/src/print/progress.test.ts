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

test('a line that a program has begun is not wiped', () => {
  const { stream, written } = terminal()
  const line = progressLine(stream)
  line.show('one')
  line.giveWay(true)
  stream.write('begun')
  line.show('two')
  expect(written()).toBe('\r\u001b[Kone\r\u001b[Kbegun')
  line.giveWay(false)
  stream.write(' and ended\n')
  line.show('three')
  expect(written()).toBe(' and ended\n\r\u001b[Kthree')
})

test('a line that a program left open is ended for a line of our own, once', () => {
  const { stream, written } = terminal()
  const line = progressLine(stream)
  line.giveWay(true)
  stream.write('begun')
  line.clear()
  line.clear()
  expect(written()).toBe('begun\n')
  line.show('one')
  expect(written()).toBe('\r\u001b[Kone')
})

test.each([
  [0, 79],
  [10, 20],
  [40, 39],
])('on a terminal that tells a width of %i it has at most %i letters', (columns, letters) => {
  const { stream, written } = terminal()
  progressLine(Object.assign(stream, { columns })).show('x'.repeat(100))
  expect(written()).toBe(`\r\u001b[K${'x'.repeat(letters)}`)
})

test('without a terminal nothing is written', () => {
  const { stream, written } = terminal()
  const line = progressLine(Object.assign(stream, { isTTY: false }))
  line.show('one')
  line.clear()
  expect(written()).toBe('')
})
