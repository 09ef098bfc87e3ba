/** How much of a TPM's rate of quotes the signer gives to runs. Baseline: quotes in a loop on a TPM of the same kind. */

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { TPM_ALG } from '@reprise/core'
import { connectSigner } from '@reprise/host'
import { attestationKeyTemplate, connect, CreatePrimary, ENDORSEMENT, Quote, swtpm } from '@reprise/tpm'
import type { Group, Sample } from '../harness.ts'
import { TemporaryHome } from '../home.ts'

const WINDOW_MS = 2000
/** So that heads wait at all times, as they do when checkpoints come faster than the TPM. */
const RUNS = 2

const digest = (): Uint8Array => new Uint8Array(randomBytes(32))

async function measureRaw(folder: string): Promise<{ readonly rate: Sample } & AsyncDisposable> {
  await swtpm.manufacture(folder)
  const process = await swtpm.start(folder)
  const tpm = connect(await process.open())
  const inPublic = attestationKeyTemplate(digest())
  const ak = await tpm.execute(CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic }))
  const pcrSelect = [{ hash: TPM_ALG.SHA256, pcrs: [0, 1, 2, 3, 4, 5, 6, 7] }]
  return {
    async rate() {
      const startedMs = performance.now()
      let quotes = 0
      for (; performance.now() - startedMs < WINDOW_MS; quotes++) {
        await tpm.execute(Quote({ signHandle: ak, qualifyingData: digest(), pcrSelect }))
      }
      return (1000 * quotes) / (performance.now() - startedMs)
    },
    [Symbol.asyncDispose]: () => swtpm.stop(process, { tpm }),
  }
}

async function measureSigner(home: string): Promise<{ readonly rate: Sample } & AsyncDisposable> {
  const signer = await connectSigner({ home, tpm: 'software', batchesPerSecond: null })
  return {
    async rate() {
      const batches = new Set<string>()
      let open = true
      const runs = await Promise.all(
        Array.from({ length: RUNS }, async () => {
          let seq = 0
          const submit = (): void => {
            if (open)
              run.submit({ seq: seq++, cumulative: digest(), snapshots: digest(), end: false }, { urgent: true })
          }
          const run = await signer.openRun({
            ...{ runId: digest(), attempt: 1, firstSeq: 0, environmentDigest: digest(), previous: null },
          })
          run.listen(({ batch }) => {
            batches.add(batch.seq)
            submit()
          })
          return { run, submit }
        }),
      )
      const startedMs = performance.now()
      for (const { submit } of runs) submit()
      await new Promise((resolve) => setTimeout(resolve, WINDOW_MS))
      const rate = (1000 * batches.size) / (performance.now() - startedMs)
      open = false
      for (const { run } of runs) run.close()
      return rate
    },
    async [Symbol.asyncDispose]() {
      await signer.stop()
      await signer.close()
    },
  }
}

export const sign: Group = {
  name: 'sign',
  about: "the signer's quotes a second to those of the bare TPM (software)",
  async measure(bench) {
    await using home = await TemporaryHome.create()
    await using raw = await measureRaw(join(home.folder, 'raw'))
    await using signer = await measureSigner(home.path)
    await bench.figure({
      name: 'perS',
      unit: 'quotes/s',
      subject: signer.rate,
      baseline: raw.rate,
      summary: { key: 'sign.rate.ratio', of: 'ratio' },
    })
  },
}
