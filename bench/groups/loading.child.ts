/**
 * Measured by loading.ts in a process of its own: an image is opened, decrypted to memory, loaded, and its services become ready.
 *
 *     loading.child.ts IMAGE SIGNER MEMORY   key as of loading.ts; MEMORY: a folder in memory
 */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { fromHex } from '../../packages/core/src/index.ts'
import { namespaceLoader } from '../../packages/recovery/src/loading/index.ts'
import { decryptImage, openImage, openImageFile, Secret } from '../../packages/recovery/src/sealing/index.ts'

export type LoadingAnswer =
  | { readonly kind: 'ready'; readonly decryptS: number; readonly loadS: number; readonly peakMb: number }
  | { readonly kind: 'absent'; readonly why: string }

const [path, signer, memory] = process.argv.slice(2)

async function measure(): Promise<LoadingAnswer> {
  const startedMs = performance.now()
  const payload = join(memory, 'payload')
  {
    await using source = await openImageFile(path)
    const floors = { version: 0, roster: 0, approvals: 0 }
    const image = await openImage(source, { signers: [fromHex(signer)], floors })
    using key = Secret.owning(new Uint8Array(32).fill(7))
    await using file = await open(payload, 'w', 0o600)
    for await (const chunk of decryptImage(image, key)) await file.writeFile(chunk)
  }
  const decryptedMs = performance.now()
  const loaded = await namespaceLoader.load({
    payload,
    services: [
      { name: 'prepare', after: [], ready: { kind: 'started' }, credentials: ['key'] },
      {
        name: 'serve',
        after: ['prepare'],
        ready: { kind: 'file', path: '/run/serving', withinMs: 60_000 },
        credentials: [],
      },
    ],
    credentialsOf: () => new Map([['key', Secret.random(32)]]),
    onStatus: () => undefined,
    signal: AbortSignal.timeout(300_000),
  })
  const readyMs = performance.now()
  if (loaded.kind === 'unsupported') return { kind: 'absent', why: loaded.why }
  await loaded.stop()
  if (loaded.kind !== 'ready') throw new Error('why' in loaded ? loaded.why : loaded.kind)
  return {
    kind: 'ready',
    decryptS: (decryptedMs - startedMs) / 1000,
    loadS: (readyMs - decryptedMs) / 1000,
    peakMb: process.resourceUsage().maxRSS / 1024,
  }
}

console.log(JSON.stringify(await measure()))
