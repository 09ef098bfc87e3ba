/** What it takes to enrol a host: the whole command, against an authority in another process. Software TPM. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { REPRISE, timeCommand } from '../child.ts'
import type { Group } from '../harness.ts'
import { TemporaryHome } from '../home.ts'

/** An authority that approves every host. */
async function serveAuthority(home: TemporaryHome): Promise<{ readonly url: string } & AsyncDisposable> {
  const at = ['--home', join(home.folder, 'authority')]
  const options = { cwd: home.folder, env: home.environment }
  await timeCommand([REPRISE, 'authority', 'init', ...at], options)
  const words = ['authority', 'serve', ...at, '--approve', 'software', '--listen', '127.0.0.1:0', '--json']
  const child = spawn(REPRISE, words, { ...options, stdio: ['ignore', 'pipe', 'ignore'] })
  return {
    url: await urlOf(child),
    async [Symbol.asyncDispose]() {
      child.kill()
      await once(child, 'close')
    },
  }
}

async function urlOf(child: ChildProcess): Promise<string> {
  let said = ''
  for await (const chunk of child.stdout ?? []) {
    said += String(chunk)
    if (said.includes('\n')) return (JSON.parse(said) as { readonly url: string }).url
  }
  throw new Error('the authority ended before it served')
}

export const enrol: Group = {
  name: 'enrol',
  about: 'wall time of enrolling a host at an authority (software TPM)',
  async measure(bench) {
    await using home = await TemporaryHome.create()
    await using authority = await serveAuthority(home)
    const options = { cwd: home.folder, env: { ...home.environment, REPRISE_TPM: 'software' } }
    // Making the identity, and the TPM itself, is another matter.
    await timeCommand([REPRISE, 'host', 'init'], options)
    const command = [REPRISE, 'host', 'enroll', '--authority', authority.url, '--name', 'bench', '--renew']
    const subject = async (): Promise<number> => (await timeCommand(command, options)).wallS
    await bench.figure({ name: 'hostS', unit: 's', subject, summary: { key: 'enrol.hostS', of: 'value' } })
  },
}
