import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cutPower } from './processes.ts'

/** Of this test alone. */
const PORT = 8478
const ROUNDS = 4

/** Listens, and waits for the disk in four more threads. */
const PROGRAM = `
const fs = require('node:fs')
const bytes = Buffer.alloc(1 << 22)
const go = (fd) => fs.write(fd, bytes, 0, bytes.length, 0, () => fs.fsync(fd, () => go(fd)))
for (const name of 'abcd') go(fs.openSync(process.argv[1] + '/' + name, 'w'))
require('node:net').createServer().listen(${PORT}, process.argv[2], () => process.send('listening'))
`

test('whose power is cut has let go of its sockets, whatever its threads waited for', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reprise-power-'))
  const address = `127.${(process.pid % 250) + 1}.0.2`
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const words = ['-e', PROGRAM, folder, address]
      const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
      await once(child, 'message')
      expect(child.pid).toBeDefined()
      await cutPower([Number(child.pid)])
      const server = createServer().listen(PORT, address)
      await once(server, 'listening')
      server.close()
      await once(server, 'close')
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
