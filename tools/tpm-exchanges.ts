/**
 * node tools/tpm-exchanges.ts: records what swtpm answers to `stateAndQuote` into `vectors/tpm-exchanges/boot/`. By hand and
 * rarely: keys and clock are new each time.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { canonical, hex } from '@reprise/core'
import { swtpm, type Transport } from '@reprise/tpm'
import { stateAndQuote } from '../packages/tpm/src/transport/exchanges.ts'

const target = resolve(import.meta.dirname, '../vectors/tpm-exchanges/boot')
const scratch = mkdtempSync(join(tmpdir(), 'reprise-record-'))
const folder = join(scratch, 'tpm')
await swtpm.manufacture(folder)
const running = await swtpm.start(folder)
const transport = await running.open()
const exchanges: { command: string; response: string }[] = []
const recording: Transport = {
  kind: 'device',
  async send(command) {
    const response = await transport.send(command)
    exchanges.push({ command: hex(command), response: hex(response) })
    return response
  },
  close: () => transport.close(),
}
const answer = await stateAndQuote(recording)
await recording.close()
await swtpm.stop(running)
rmSync(scratch, { recursive: true })
mkdirSync(target, { recursive: true })
writeFileSync(join(target, 'input.jsonl'), exchanges.map((exchange) => `${canonical(exchange)}\n`).join(''))
writeFileSync(join(target, 'expected.json'), `${canonical(answer)}\n`)
console.log(`${exchanges.length} exchanges in ${target}`)
