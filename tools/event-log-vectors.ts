/**
 * node tools/event-log-vectors.ts: writes the cases of `packages/core/src/event-log/sample-cases.ts` to `vectors/event-log/`. Read
 * the diff before committing it: a vector that changes is a format that changes.
 */
import { hash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type BankHash, canonical } from '@reprise/core'
import { sampleCases } from '../packages/core/src/event-log/sample-cases.ts'
import { refusedCases } from '../packages/core/src/event-log/sample-refused.ts'
import { sampleLog, sampleQuote } from '../packages/core/src/event-log/sample-logs.ts'

const folder = resolve(import.meta.dirname, '../vectors/event-log')
const bankHash: BankHash = (bank, data) => new Uint8Array(hash(bank === 'sm3_256' ? 'sm3' : bank, data, 'buffer'))

const cases = sampleCases(bankHash)
const refused = refusedCases(bankHash)
const made = 'Made by `node tools/event-log-vectors.ts`; no machine and no TPM was involved.'

async function write(
  name: string,
  why: string,
  files: { readonly input: Uint8Array; readonly expected: object },
): Promise<void> {
  const target = join(folder, name)
  await mkdir(target, { recursive: true })
  await writeFile(join(target, 'input.bin'), files.input)
  await writeFile(join(target, 'expected.json'), `${canonical(files.expected)}\n`)
  await writeFile(join(target, 'README.md'), `# ${name}\n\n${why}\n\n${made}\n`)
}

for (const { name, why, boot, rules, answers, notes = [], firstMisfit = null, quoted = {} } of cases) {
  const registers = sampleQuote(boot, bankHash)
  for (const [bank, values] of Object.entries(quoted)) Object.assign(registers[bank], values)
  const expected = { quoted: registers, rules, answers, notes, firstMisfit }
  await write(name, why, { input: sampleLog(boot, bankHash), expected })
}
for (const { name, why, bytes, event, offsetBytes } of refused)
  await write(name, why, { input: bytes, expected: { error: 'STRUCTURE', event, offsetBytes } })
console.log(`${cases.length + refused.length} cases in vectors/event-log`)
