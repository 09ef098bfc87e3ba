/**
 * The signer process: the one owner of a home's TPM. Started by clients when they need it, under a
 * lock that they take for it (start.ts); never by hand.
 */

import { parseArgs } from 'node:util'
import { sha256 } from '../hashing.ts'
import { prepareHome } from '../home.ts'
import { openHost, retireHost } from '../identity/open-host.ts'
import { openLog } from './log.ts'
import { SignerServer } from './server.ts'
import { parseTpmChoice } from './start.ts'

const BATCHES_PER_SECOND = 10
const IDLE_MS = 60_000

const { values } = parseArgs({
  options: {
    home: { type: 'string' },
    tpm: { type: 'string', default: 'auto' },
    'batches-per-second': { type: 'string', default: String(BATCHES_PER_SECOND) },
    'idle-ms': { type: 'string', default: String(IDLE_MS) },
    retire: { type: 'boolean', default: false },
  },
})
// Sockets and files of this process are for its owner only, from the moment they are there.
process.umask(0o077)
void main(values)

async function main({ home, ...settings }: typeof values): Promise<void> {
  if (home === undefined) throw new Error('--home is missing')
  const paths = prepareHome(home)
  const log = openLog(paths.log)
  if (settings.retire) {
    await retireHost(paths)
    log('the identity was given up')
    process.exit(0)
  }
  const tpm = parseTpmChoice(settings.tpm)
  const rate = Number(values['batches-per-second'])
  const server = new SignerServer({
    socketPath: paths.socket,
    sha256,
    openHost: () => openHost({ paths, tpm }),
    batchesPerSecond: Number.isFinite(rate) && rate > 0 ? rate : null,
    idleMs: Number(values['idle-ms']),
    log,
  })
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => server.leave(signal))
  process.on('uncaughtException', (error) => {
    log(`failed: ${error.stack ?? error.message}`)
    process.exit(1)
  })
  await server.left
  process.exit(0)
}
