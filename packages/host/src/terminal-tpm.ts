/**
 * For tests: a software TPM behind a character device of the kernel's. Not one of its TPM driver: a terminal in raw mode, whose
 * other side script(1) carries to swtpm. Reads give what is there, in pieces, and calls fail once it is gone.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectTpm, swtpm, type Transport } from '@reprise/tpm'
import { killProcessById } from './software-home.ts'

/** Answers in place of the TPM, or changes what it answered; `ask` has the TPM answer. */
export type Between = (command: Buffer, ask: () => Promise<Uint8Array>) => Promise<Uint8Array>

export interface TerminalTpm extends AsyncDisposable {
  /** A file in /dev/pts. */
  readonly path: string
  /** Ends the device, as if the chip was unplugged. */
  unplug(): Promise<void>
}

const ASKING: Between = (_command, ask) => ask()

/** @param folder - Of a software TPM that was manufactured; nobody else may use it meanwhile. */
export async function terminalTpm(folder: string, between: Between = ASKING): Promise<TerminalTpm> {
  const running = await swtpm.start(folder)
  const transport = await running.open()
  const child = spawn('script', ['-qfc', 'stty raw -echo; echo "<$(tty)>"; exec sleep 1000', '/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const path = await said(child)
  carry(child, transport, between)
  const unplug = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  return {
    path,
    unplug,
    async [Symbol.asyncDispose]() {
      await unplug()
      await swtpm.stop(running, { tpm: connectTpm(transport) }).catch(() => killProcessById(running.pid))
    },
  }
}

/** The name of the terminal, which it says first. */
async function said({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('script has a stdout')
  let text = ''
  for (;;) {
    const [chunk] = (await once(stdout, 'data')) as [Buffer]
    text += chunk.toString('latin1')
    const path = /<(\/dev\/[^>]+)>\r?\n/.exec(text)?.[1]
    if (path !== undefined) return path
  }
}

/** Whole commands go to the TPM, one at a time, and answers come back. */
function carry({ stdin, stdout }: ChildProcess, transport: Transport, between: Between): void {
  let pending = Buffer.alloc(0)
  let turn: Promise<unknown> = Promise.resolve()
  stdin?.on('error', () => undefined)
  stdout?.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk])
    while (pending.length >= 6 && pending.length >= pending.readUInt32BE(2)) {
      const command = Buffer.from(pending.subarray(0, pending.readUInt32BE(2)))
      pending = pending.subarray(command.length)
      turn = turn.then(async () => stdin?.write(await between(command, () => transport.send(command))))
      turn.catch(() => undefined)
    }
  })
}
