import { createPublicKey, randomBytes, verify } from 'node:crypto'
import { chmod, mkdir, rename, rm, symlink } from 'node:fs/promises'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import {
  type Attestation,
  attestationDigest,
  batchDigest,
  decodeStartupClear,
  decodeTpmsAttest,
  decodeTpmtPublic,
  decodeTpmtSignature,
  equal,
  fromHex,
  headDigest,
  hostId,
  joinedDigest,
  objectName,
  pcrDigest,
  qualifiedName,
  rootFromPath,
  toPublicKey,
  TPM_ALG,
  TPM_RH,
  TPM_ST,
  treeHash,
  ZERO_DIGEST,
} from '@reprise/core'
import { Clear, connect, LOCKOUT, swtpm, withAuth } from '@reprise/tpm'
import { layTpm } from '@reprise/tpm/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostError } from '../error.ts'
import { readIfThere } from '../files.ts'
import { hash, sha256 } from '../hashing.ts'
import { killProcess, processesOf, SoftwareHomes } from '../software-home.ts'
import { connectSigner, type ConnectOptions, initHost, type Signer } from './client.ts'
import type { RunHead } from './protocol.ts'
import type { RunToSign } from './run-signer.ts'

const digest = (): Uint8Array => new Uint8Array(randomBytes(32))
const head = (seq: number): RunHead => ({ seq, cumulative: digest(), snapshots: digest(), end: false })

let homes: SoftwareHomes
beforeAll(async () => {
  homes = await SoftwareHomes.create()
})
afterAll(() => homes[Symbol.asyncDispose]())

const until = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20))
}

function connectTo(home: string, more: Partial<ConnectOptions> = {}): Promise<Signer> {
  return connectSigner({ home, tpm: 'software', ...more })
}

/** Submits heads, waits for each, and keeps what a verifier needs. */
async function openRun(signer: Signer) {
  const receipts: Attestation[] = []
  const run: RunToSign = { runId: digest(), attempt: 1, firstSeq: 0, environmentDigest: digest(), previous: null }
  const heads = new Map<number, RunHead>()
  const signing = await signer.openRun(run)
  signing.listen((receipt) => receipts.push(receipt))
  const submit = (seq: number): void => {
    heads.set(seq, head(seq))
    signing.submit(heads.get(seq)!)
  }
  return { run, receipts, heads, signing, submit }
}

type Signed = Awaited<ReturnType<typeof openRun>>

/** What spec/record.md §6 asks of attestations, by node:crypto and core alone. */
function whyNotVerified({ run, receipts, heads }: Signed, { host }: Signer): string | undefined {
  const ak = decodeTpmtPublic(host.akPublic)
  if (!equal(objectName(ak, hash), host.akName)) return 'name'
  if (!equal(hostId(host.akName, sha256), host.hostId)) return 'hostId'
  const point = toPublicKey(ak)
  if (point.kind !== 'ec') return 'kind of key'
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  const key = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x: text(point.x), y: text(point.y) }, format: 'jwk' })
  const tree = treeHash('batch', sha256)
  let previous: Uint8Array = ZERO_DIGEST
  let lastSeq = -1
  for (const receipt of receipts) {
    const [attest, signature] = [fromHex(receipt.attest), fromHex(receipt.signature)]
    const decoded = decodeTpmtSignature(signature)
    if (!verify('sha256', attest, { key, dsaEncoding: 'ieee-p1363' }, decoded.signature)) return 'signature'
    const quote = decodeTpmsAttest(attest)
    if (quote.type !== TPM_ST.ATTEST_QUOTE) return 'type'
    if (!equal(quote.qualifiedSigner, qualifiedName({ parent: TPM_RH.ENDORSEMENT, name: host.akName, hash })))
      return 'signer'
    const { index, count, path, seq } = receipt.batch
    const leaf = tree.leaf(
      headDigest({ ...run, ...heads.get(receipt.seq)!, previous: joinedDigest(previous, receipt, sha256) }, sha256),
    )
    const root = rootFromPath(tree, { leaf, index, leafCount: count, path: path.map(fromHex) })
    if (root === undefined) return 'path'
    if (!equal(quote.extraData, batchDigest({ hostId: host.hostId, seq: BigInt(seq), root }, sha256))) return 'batch'
    const pcrs = Object.entries(receipt.pcrs.sha256)
    const selection = [{ hash: TPM_ALG.SHA256, pcrs: pcrs.map(([pcr]) => Number(pcr)) }]
    const banks = { sha256: Object.fromEntries(pcrs.map(([pcr, value]) => [pcr, fromHex(value)])) }
    if (JSON.stringify(selection[0].pcrs) !== JSON.stringify(quote.attested.pcrSelect[0].pcrs)) return 'selection'
    if (!equal(quote.attested.pcrDigest, pcrDigest({ hash, algorithm: 'sha256', selection, banks })!)) return 'pcrs'
    if (receipt.seq <= lastSeq) return 'order'
    lastSeq = receipt.seq
    previous = attestationDigest(attest, signature, sha256)
  }
  return undefined
}

describe('the signer of a software TPM', () => {
  test('gives several runs receipts that verify, and shares batches among them', async () => {
    const home = await homes.home()
    await using signer = await connectTo(home)
    const runs = await Promise.all([1, 2, 3].map(() => openRun(signer)))
    const { pid } = (await signer.show()).signer
    for (let seq = 0; seq < 30; seq++) {
      // Which heads meet is chance, but for this once: they all lie there when it looks again.
      const isStopped = seq === 15
      if (isStopped) process.kill(pid, 'SIGSTOP')
      for (const { submit } of runs) submit(seq)
      await new Promise((resolve) => setImmediate(resolve))
      if (isStopped) process.kill(pid, 'SIGCONT')
      await Promise.all(runs.map(({ signing }) => signing.waitFor(seq)))
    }
    for (const run of runs) expect(whyNotVerified(run, signer)).toBeUndefined()
    for (const { receipts } of runs) expect(receipts).toHaveLength(30)
    const shared = runs[0].receipts.filter(({ batch }) => batch.count === 3)
    expect(shared.length).toBeGreaterThan(0)
    const batches = new Set(runs.flatMap(({ receipts }) => receipts.map(({ batch }) => batch.seq)))
    expect(batches.size).toBeLessThan(90)
  })

  test('is one, with one identity, when ten clients start it at the same time', async () => {
    const home = await homes.home()
    const signers = await Promise.all(Array.from({ length: 10 }, () => connectTo(home)))
    const reports = await Promise.all(signers.map((signer) => signer.show()))
    expect(new Set(reports.map(({ signer }) => signer.pid)).size).toBe(1)
    expect(new Set(reports.map(({ hostId }) => hostId)).size).toBe(1)
    await until(async () => (await processesOf(home, 'signer')).length === 1)
    await Promise.all(signers.map((signer) => signer.close()))
  })

  test('comes up with one identity though it is killed again and again at its first start', async () => {
    const home = await homes.home()
    for (let afterMs = 20; afterMs <= 300; afterMs += 40) {
      // One that is killed before it listens is an error, one that is killed later is started again.
      const connecting = connectTo(home).catch((error: HostError) => error.code)
      await new Promise((resolve) => setTimeout(resolve, afterMs))
      await killProcess(home, 'signer')
      const signer = await connecting
      if (typeof signer === 'string') expect(signer).toBe('SIGNER_START')
      else await signer.close()
    }
    await using signer = await connectTo(home)
    const run = await openRun(signer)
    run.submit(0)
    await run.signing.waitFor(0)
    expect(whyNotVerified(run, signer)).toBeUndefined()
    expect((await signer.show()).tpm.lockout.counter).toBe(0)
  })

  test('can be given up while it is starting', async () => {
    const home = await homes.home()
    await expect(connectTo(home, { signal: AbortSignal.timeout(40) })).rejects.toMatchObject({ name: 'TimeoutError' })
    await using signer = await connectTo(home)
    expect((await processesOf(home, 'signer')).length).toBe(1)
    await signer.show()
  })

  test('shows everything about its TPM as JSON', async () => {
    await using signer = await connectTo(await homes.home())
    const report = await signer.show()
    expect(JSON.parse(JSON.stringify(report))).toEqual(report)
    expect(report).toMatchObject({
      tier: { tier: 'software' },
      tpm: { transport: 'swtpm', manufacturer: 'IBM', lockout: { counter: 0, maxAuthFail: 31, intervalSeconds: 600 } },
      ak: { handle: '0x81008001' },
      ek: { certificate: { issuer: 'CN=swtpm-localca' } },
    })
    expect(Object.keys(report.tpm.pcrs.sha256)).toHaveLength(24)
    expect(report.tpm.lockout.recoverySeconds).toBe(86_400)
  })

  test('is started again when it is killed, finds the TPM as it was, and the chain goes on', async () => {
    const home = await homes.home()
    const troubles: string[] = []
    await using signer = await connectTo(home, { onTrouble: (message) => troubles.push(message) })
    const run = await openRun(signer)
    const before = await signer.show()
    for (let seq = 0; seq < 40; seq++) {
      run.submit(seq)
      if (seq % 10 === 5) await killProcess(home, 'signer')
      await run.signing.waitFor(seq)
    }
    const after = await signer.show()
    expect(after.signer.pid).not.toBe(before.signer.pid)
    expect(after.tpm.resetCount).toBe(before.tpm.resetCount)
    expect(whyNotVerified(run, signer)).toBeUndefined()
    expect(run.receipts.at(-1)?.seq).toBe(39)
    expect(troubles.length).toBeGreaterThanOrEqual(4)
    const numbers = run.receipts.map(({ batch }) => Number(batch.seq))
    expect(new Set(numbers).size).toBe(numbers.length)
  })

  test('goes on with a chain when the software TPM was killed, with a statement that no shutdown came', async () => {
    const home = await homes.home()
    await using signer = await connectTo(home)
    const run = await openRun(signer)
    run.submit(0)
    await run.signing.waitFor(0)
    await killProcess(home, 'swtpm')
    run.submit(1)
    await run.signing.waitFor(1)
    run.submit(2)
    await run.signing.waitFor(2)
    expect(whyNotVerified(run, signer)).toBeUndefined()
    const told = run.receipts.map(({ boot }) => boot && decodeStartupClear(fromHex(boot.startup.response)).orderly)
    expect(told).toEqual([expect.any(Boolean), false, undefined])
    expect((await signer.show()).tpm.orderly).toBe(false)
  })

  test('answers the next question when the software TPM died unseen', async () => {
    const home = await homes.home()
    await using signer = await connectTo(home)
    await killProcess(home, 'swtpm')
    const run = await openRun(signer)
    run.submit(0)
    expect((await run.signing.waitFor(0)).seq).toBe(0)
  })

  test('leaves after a while and shuts the TPM down in order', async () => {
    const home = await homes.home()
    const first = await connectTo(home, { idleMs: 500 })
    const before = await first.show()
    await first.close()
    await until(
      async () => (await processesOf(home, 'swtpm')).length + (await processesOf(home, 'signer')).length === 0,
    )
    await using second = await connectTo(home)
    const after = await second.show()
    expect(after.tpm).toMatchObject({ orderly: true, safe: true, resetCount: before.tpm.resetCount + 1 })
    expect(BigInt(after.tpm.clock)).toBeGreaterThanOrEqual(BigInt(before.tpm.clock))
    expect(after.hostId).toBe(before.hostId)
  })
})

describe('an identity', () => {
  async function stopped(home: string): Promise<void> {
    const signer = await connectTo(home)
    await signer.stop()
    await signer.close()
    await until(async () => (await processesOf(home, 'signer')).length === 0)
  }

  test('is missed when the TPM was cleared, and can be made anew', async () => {
    const home = await homes.home()
    await stopped(home)
    const folder = join(home, 'tpm', 'swtpm')
    const running = await swtpm.start(folder)
    const tpm = connect(await running.open())
    const lockoutAuth = (await readIfThere(join(home, 'tpm', 'lockout.auth')))!
    await tpm.execute(Clear({ authHandle: withAuth(LOCKOUT, lockoutAuth) }))
    await swtpm.stop(running, { tpm })
    const said = {
      code: 'TPM_CHANGED',
      message: expect.stringContaining('cleared'),
      hint: expect.stringContaining('--new'),
    }
    await expect(connectTo(home)).rejects.toMatchObject(said)
    await using signer = await initHost({ home, tpm: 'software', renew: true })
    const run = await openRun(signer)
    run.submit(0)
    await run.signing.waitFor(0)
    expect(whyNotVerified(run, signer)).toBeUndefined()
  })

  test('is missed when the TPM is another one, or gone', async () => {
    const [home, other] = [await homes.home(), join(await homes.home(), 'tpm', 'swtpm')]
    await stopped(home)
    const folder = join(home, 'tpm', 'swtpm')
    await rm(folder, { recursive: true })
    await expect(connectTo(home)).rejects.toMatchObject({
      code: 'TPM_CHANGED',
      message: expect.stringContaining('gone'),
    })
    await rm(other, { recursive: true })
    await layTpm(other, 1)
    // The signer that missed the TPM says so for a moment to whoever else asks.
    await until(async () => (await processesOf(home, 'signer')).length === 0)
    await rename(other, folder)
    await expect(connectTo(home)).rejects.toMatchObject({
      code: 'TPM_CHANGED',
      message: expect.stringContaining('another TPM'),
    })
  })

  test('is made anew on demand, not while runs are open, and a client sees the change', async () => {
    const home = await homes.home()
    await using first = await connectTo(home)
    const run = await openRun(first)
    run.submit(0)
    await run.signing.waitFor(0)
    await expect(initHost({ home, renew: true })).rejects.toMatchObject({ code: 'BUSY' })
    run.signing.close()
    await using renewed = await initHost({ home, renew: true })
    expect(equal(renewed.host.hostId, first.host.hostId)).toBe(false)
    await expect(first.show()).rejects.toMatchObject({ code: 'HOST_CHANGED' })
    const report = await renewed.show()
    expect(report.ak.handle).toBe('0x81008001')
    const next = await openRun(renewed)
    next.submit(0)
    const receipt = await next.signing.waitFor(0)
    expect(BigInt(receipt.batch.seq)).toBeGreaterThan(BigInt(run.receipts[0].batch.seq))
  })

  test('needs the programs of swtpm, and the error names the package', async () => {
    const home = await homes.home()
    const bin = join(home, 'bin')
    await mkdir(bin)
    const which = spawnSync('sh', ['-c', 'command -v flock'], { encoding: 'utf8' }).stdout.trim()
    await symlink(which, join(bin, 'flock'))
    await chmod(home, 0o700)
    const client = new URL('./client.ts', import.meta.url).href
    const script = `import { connectSigner } from ${JSON.stringify(client)}
      await connectSigner({ home: ${JSON.stringify(home)}, tpm: 'software' }).catch((e) => console.log(e.code, e.hint))`
    const node = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { PATH: bin },
      encoding: 'utf8',
    })
    expect(node.stdout).toContain('TPM_MISSING sudo apt-get install swtpm')
  })

  test('is not looked for in a TPM of another kind', async () => {
    const home = await homes.home()
    await stopped(home)
    await expect(connectTo(home, { tpm: 'device' })).rejects.toMatchObject({ code: 'TPM_CHANGED' })
    const fresh = await homes.home()
    await expect(connectTo(fresh, { tpm: 'device' })).rejects.toMatchObject({ code: 'TPM_MISSING' })
  })
})
