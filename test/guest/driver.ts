/** Runs inside the machine: loads a tree of services in namespaces, then leaves for another kernel. Says what happens on ttyS1. */
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs'
import { kexecLoader, namespaceLoader, type LoadRequest } from '@reprise/recovery/loading'
import { IMAGE_PCR, Secret } from '@reprise/recovery/sealing'
import { connect, openDeviceTransport, PcrExtend } from '@reprise/tpm'

const say = (line: string): void => appendFileSync('/dev/ttyS1', `${line}\n`)
const [payload, kernel] = process.argv.slice(2)

const request = (path: string, services: LoadRequest['services']): LoadRequest => ({
  payload: path,
  services,
  credentialsOf: () => new Map([['key', Secret.owning(Buffer.from('geheim'))]]),
  onStatus: ({ name, state }) => say(`status ${name} ${state}`),
  onOutput: (name, line) => say(`output ${name} ${line}`),
  signal: AbortSignal.timeout(600_000),
})

async function main(): Promise<void> {
  mkdirSync('/dev/shm/work', { recursive: true })
  const loaded = await namespaceLoader.load(
    request(payload, [
      { name: 'first', after: [], ready: { kind: 'notify', withinMs: 300_000 }, credentials: ['key'] },
      {
        name: 'second',
        after: ['first'],
        ready: { kind: 'file', path: '/run/second', withinMs: 300_000 },
        credentials: [],
      },
    ]),
  )
  say(`loaded ${loaded.kind} ${'why' in loaded ? loaded.why : ''}`)
  if (loaded.kind !== 'ready') return
  await loaded.stop()
  say(`mounts ${readFileSync('/proc/mounts', 'latin1').includes('reprise-root') ? 'left' : 'gone'}`)
  await using tpm = connect(await openDeviceTransport())
  await tpm.execute(PcrExtend({ pcrHandle: IMAGE_PCR, digests: { sha256: new Uint8Array(32).fill(7) } }))
  const next = await kexecLoader.load(
    request(kernel, [{ name: 'first', after: [], ready: { kind: 'started' }, credentials: ['key'] }]),
  )
  say(`next ${next.kind} ${'why' in next ? next.why : ''}`)
  if (next.kind === 'leaving') await next.leave()
}

main().catch((error: unknown) => say(`error ${(error as Error).message}`))
