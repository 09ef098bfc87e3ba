/** How long it takes from the key of an image of 200 MB to its services being ready. */

import { generateKeyPairSync, randomFillSync, sign } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildFrom } from '../../packages/recovery/src/loading/index.ts'
import { Secret } from '../../packages/recovery/src/sealing/index.ts'
import { runScript } from '../child.ts'
import type { Bench, Group } from '../harness.ts'
import type { LoadingAnswer } from './loading.child.ts'

const MB = 1 << 20
const IMAGE_MB = 200
const FILES = 100
const MEMORY = '/dev/shm'

/** Files that do not compress, and two services that are programs of this machine. @returns The signer, an uncompressed point in hex. */
async function makeImage(folder: string, target: string): Promise<string> {
  const tree = join(folder, 'tree')
  for (const name of ['etc/reprise', 'data', 'usr', 'bin']) await mkdir(join(tree, name), { recursive: true })
  for (const name of ['lib', 'lib64']) await symlink(`usr/${name}`, join(tree, name))
  const part = new Uint8Array((IMAGE_MB / FILES) * MB)
  for (let i = 0; i < FILES; i++) await writeFile(join(tree, `data/${i}`), randomFillSync(part))
  const script = (text: string): string => `#!/usr/bin/sh\n${text}\n`
  const scripts = {
    prepare: script('cat "$CREDENTIALS_DIRECTORY/key" > /run/key'),
    serve: script('cat /data/17 > /dev/null; touch /run/serving; exec sleep 1000'),
  }
  for (const [name, text] of Object.entries(scripts)) {
    await writeFile(join(tree, 'bin', name), text)
    await chmod(join(tree, 'bin', name), 0o755)
  }
  const services = [
    { name: 'prepare', command: ['/bin/prepare'], once: true },
    { name: 'serve', command: ['/bin/serve'] },
  ]
  const programs = { schema: 'reprise/services/v1', services, volumes: [{ host: '/usr', at: '/usr' }] }
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  using key = Secret.owning(new Uint8Array(32).fill(7))
  await buildFrom({
    input: { kind: 'folder', path: tree },
    services: new TextEncoder().encode(JSON.stringify(programs)),
    scratch: MEMORY,
    seal: {
      ...{ target, key },
      about: { name: 'bench', version: 1, roster: 1, approvals: 0 },
      sign: (message) => new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })),
    },
  })
  return publicKey.export({ type: 'spki', format: 'der' }).subarray(-65).toString('hex')
}

async function measure(bench: Bench, folder: string): Promise<void> {
  const image = join(folder, 'image')
  const signer = await makeImage(folder, image)
  const answers: (LoadingAnswer & { kind: 'ready' })[] = []
  // The first one is for the cache of the disk.
  for (let i = 0; i <= bench.pairs; i++) {
    bench.checkInterrupted()
    bench.progress(`an image of ${IMAGE_MB} MiB, ${i} of ${bench.pairs}`)
    const memory = await mkdtemp(join(MEMORY, 'reprise-bench-'))
    try {
      const answer: LoadingAnswer = await runScript(new URL('./loading.child.ts', import.meta.url), [
        image,
        signer,
        memory,
      ])
      if (answer.kind === 'absent') {
        bench.notMeasured('key to ready', answer.why)
        return
      }
      if (i > 0) answers.push(answer)
    } finally {
      await rm(memory, { recursive: true })
    }
  }
  const decrypt = answers.map(({ decryptS }) => decryptS)
  const load = answers.map(({ loadS }) => loadS)
  bench.add({ name: 'decrypted to memory', unit: 's', samples: decrypt })
  bench.add({ name: 'decrypted to ready', unit: 's', samples: load })
  bench.add({
    name: 'key to ready',
    unit: 's',
    samples: decrypt.map((value, i) => value + load[i]),
    summary: { key: 'recovery.loadS', of: 'value' },
  })
  bench.add({ name: 'peak memory of the agent', unit: 'MB', samples: answers.map(({ peakMb }) => peakMb) })
}

export const loading: Group = {
  name: 'loading',
  about: 'an image of 200 MB, from its key to services that are ready',
  async measure(bench) {
    const folder = await mkdtemp(join(tmpdir(), 'reprise-loading-'))
    try {
      await measure(bench, folder)
    } finally {
      await rm(folder, { recursive: true })
    }
  },
}
