/** A software TPM for one test file, in a folder of its own. */

import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect, type Tpm } from '../tpm.ts'
import type { Transport } from '../transport/transport.ts'
import { layTpm } from './lay.ts'
import { start, stop, type Swtpm } from './supervise.ts'

export { layTpm } from './lay.ts'

export interface TestTpm {
  swtpm: Swtpm
  tpm: Tpm
  /** For files of a test. */
  readonly scratch: string
  /** Runs a program of tpm2-tools, which needs the only connection for itself. */
  tool(program: string, ...args: readonly string[]): Promise<string>
  dispose(): Promise<void>
}

export async function testTpm(): Promise<TestTpm> {
  const scratch = mkdtempSync(join(tmpdir(), 'reprise-tpm-'))
  const folder = join(scratch, 'tpm')
  await layTpm(folder)
  const swtpm = await start(folder)
  const relay = join(scratch, 'relay.cjs')
  const socket = JSON.stringify(swtpm.socketPath)
  writeFileSync(relay, `const s = require('net').connect(${socket}); process.stdin.pipe(s); s.pipe(process.stdout)\n`)
  const env = { ...process.env, TPM2TOOLS_TCTI: `cmd:${process.execPath} ${relay}` }
  const self: TestTpm = {
    swtpm,
    tpm: connect(await swtpm.open()),
    scratch,
    async tool(program, ...args) {
      await self.tpm.close()
      try {
        return (await promisify(execFile)(program, args, { cwd: scratch, env })).stdout
      } finally {
        self.tpm = connect(await openWhenFree(self.swtpm))
      }
    },
    async dispose() {
      await stop(self.swtpm, { tpm: self.tpm })
      rmSync(scratch, { recursive: true })
    },
  }
  return self
}

/** swtpm takes the next connection when it has seen the end of the tool's, which a busy machine puts off. */
async function openWhenFree(swtpm: Swtpm): Promise<Transport> {
  for (let tries = 0; ; tries++) {
    try {
      return await swtpm.open()
    } catch (error) {
      const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
      if (code !== 'EAGAIN' || tries === 1000) throw error
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}

/** Ends swtpm at once, as a loss of power would, and waits until it is gone. */
export async function killNow({ pid }: Pick<Swtpm, 'pid'>): Promise<void> {
  process.kill(pid, 'SIGKILL')
  // A zombie has no command line.
  const alive = (): boolean => existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`).length > 0
  while (alive()) await new Promise((resolve) => setTimeout(resolve, 2))
}
