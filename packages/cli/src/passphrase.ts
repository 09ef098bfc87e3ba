/** A passphrase that somebody types: it is not shown. */
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { RunnerError } from '@reprise/runner'

/** @throws RunnerError `USAGE` when nobody can type, or nothing was typed. */
export async function promptPassphrase(what: string): Promise<string> {
  if (!process.stdin.isTTY)
    throw new RunnerError('USAGE', {
      message: `${what}: nobody can be asked here`,
      hint: 'give it in a file: --passphrase-file FILE',
    })
  // The line editor echoes into nothing; the terminal itself echoes until it is there, so the question comes after it.
  const output = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output, terminal: true })
  try {
    process.stderr.write(`${what}: `)
    const typed = await lines.question('')
    if (typed === '') throw new RunnerError('USAGE', { message: `${what}: nothing was typed`, hint: 'try again' })
    return typed
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}

/** Twice, for what nobody can look up later. */
export async function promptNewPassphrase(what: string): Promise<string> {
  const first = await promptPassphrase(what)
  if ((await promptPassphrase(`${what}, again`)) === first) return first
  throw new RunnerError('USAGE', { message: 'two different passphrases were typed', hint: 'try again' })
}
