import {
  assembleRecord,
  bytesSource,
  crateOf,
  decodeManifestBytes,
  decodeRecordDocument,
  openRecord,
  RECORD_ENTRY,
  verifyRecord,
  writeZip,
  type VerifyOptions,
  type VerifyResult,
} from '@reprise/core'
import { NO_POLICY, type TrustPolicy } from '@reprise/core/certificates'
import { describe, expect, test } from 'vitest'
import { secondAttempt } from './cases/resumed.ts'
import { enrol } from './enrolment.ts'
import { resumed } from './mutation.ts'
import { nodeCrypto } from './node-crypto.ts'
import { entriesOf, pack, packed } from './pack.ts'
import { chainOf, collected, draft, sign } from './sample.ts'
import { takeSnapshot } from './snapshot.ts'

async function verify(bytes: Uint8Array, options: Partial<VerifyOptions> = {}): Promise<VerifyResult> {
  return verifyRecord(bytesSource(bytes), { crypto: nodeCrypto, ...options })
}

const whole = await packed(sign(draft()))
const { akNames } = await verify(whole)
const akName = akNames[0] as string

const trusting = (name: string): TrustPolicy => ({ ...NO_POLICY, attestationKeys: [{ name }] })

const enrolment = ({ findings }: VerifyResult): string | undefined =>
  findings.find(({ code }) => code === 'SELF_ENROLLED')?.severity

describe('a host that enrolled itself', () => {
  test('is enough by default, with a warning', async () => {
    const result = await verify(whole)
    expect([result.evidence, result.enrolment, result.tier, enrolment(result)]).toEqual([
      'verified',
      'self',
      'software',
      'warns',
    ])
  })

  test('is not enough when enrolment is required', async () => {
    const result = await verify(whole, { requireEnrolment: true })
    expect([result.evidence, enrolment(result)]).toEqual(['unverifiable', 'withholds'])
  })

  test('is enough without a warning when its key is trusted', async () => {
    const result = await verify(whole, { trust: trusting(akName), requireEnrolment: true })
    expect([result.evidence, enrolment(result)]).toEqual(['verified', undefined])
  })

  test('is not enough when other keys are trusted', async () => {
    const result = await verify(whole, { trust: trusting(`000b${'0'.repeat(64)}`) })
    expect([result.evidence, enrolment(result)]).toEqual(['unverifiable', 'withholds'])
  })
})

test('a record with certificates is read without any trust policy', async () => {
  const enrolled = draft()
  enrol()(enrolled)
  const result = await verify(await packed(sign(enrolled)))
  expect([result.evidence, result.enrolment, enrolment(result)]).toEqual(['verified', 'self', 'warns'])
})

describe('a verifier', () => {
  test('answers the same when signatures are checked later', async () => {
    const later: VerifyOptions['crypto'] = {
      ...nodeCrypto,
      verify: async (request) => {
        await new Promise((resolve) => setTimeout(resolve, 1))
        return nodeCrypto.verify(request)
      },
    }
    const forged = sign(draft())
    forged.attestations[2].signature = forged.attestations[1].signature
    for (const bytes of [whole, await packed(forged)])
      expect(await verify(bytes, { crypto: later })).toEqual(await verify(bytes))
  })

  test('tells how far it is, after every few attestations and at the end', async () => {
    const cut = sign(draft())
    cut.attestations.pop()
    const seen: unknown[] = []
    await verify(await packed(cut), { onProgress: (progress) => seen.push(progress) })
    expect(seen).toEqual([
      { checkpoints: 3, attestations: 2 },
      { checkpoints: 5, attestations: 2 },
    ])
  })

  test('throws what reading the file throws', async () => {
    const lost = new Error('the disk is gone')
    let allowed = 0
    for (;;) {
      let left = allowed++
      const source = { ...bytesSource(whole), lengthBytes: whole.length }
      const read: typeof source.read = (offset, lengthBytes) =>
        left-- > 0 ? source.read(offset, lengthBytes) : Promise.reject(lost)
      const outcome = await verifyRecord({ ...source, read }, { crypto: nodeCrypto }).catch((error: unknown) => error)
      if (outcome !== lost) break
    }
    expect(allowed).toBeGreaterThan(10)
  })

  test('reads every byte of the file', async () => {
    const seen = new Set<number>()
    const source = bytesSource(whole)
    const read: typeof source.read = (offset, lengthBytes) => {
      for (let i = offset; i < offset + lengthBytes; i++) seen.add(i)
      return source.read(offset, lengthBytes)
    }
    await verifyRecord({ ...source, read }, { crypto: nodeCrypto })
    expect(seen.size).toBe(whole.length)
  })

  test('takes a file for a record that begins with the whole header of its first entry, and nothing shorter', async () => {
    const headerBytes = 30 + 'ro-crate-metadata.json'.length
    const strict = async (bytes: Uint8Array): Promise<VerifyResult> => {
      const source = bytesSource(bytes)
      const read: typeof source.read = (offset, lengthBytes) => {
        if (offset + lengthBytes > bytes.length) throw new Error('read beyond the end')
        return source.read(offset, lengthBytes)
      }
      return verifyRecord({ ...source, read }, { crypto: nodeCrypto })
    }
    const none = { code: 'NOT_A_RECORD', message: 'this file is no Reprise record' }
    expect((await strict(whole.subarray(0, headerBytes))).evidence).toBe('refuted')
    await expect(strict(whole.subarray(0, headerBytes - 1))).rejects.toMatchObject(none)
    for (const at of [0, 1, 2, 3, 30, headerBytes - 1]) {
      const other = Uint8Array.from(whole)
      other[at] ^= 1
      await expect(strict(other)).rejects.toMatchObject(none)
    }
  })

  test('lists ten findings of a kind and counts the others', async () => {
    const long = draft()
    long.computation.checkpoints = { kind: 'none' }
    const last = long.checkpoints[4]
    long.checkpoints = Array.from({ length: 30 }, (_, seq) => ({ ...long.checkpoints[0], seq, position: String(seq) }))
    long.checkpoints.push({ ...last, seq: 30 })
    long.quotes[1].seq = 20
    long.quotes[2].seq = 30
    const { findings } = await verify(await packed(sign(long)))
    const order = findings.filter(({ code }) => code === 'CHECKPOINT_ORDER')
    expect(order.length).toBe(11)
    expect(order[10].message).toBe('19 more findings of this kind')
    expect(findings.map(({ code }) => code)).not.toContain('BATCH')
  })

  test('says of every answer what was not checked', async () => {
    const what = (result: VerifyResult): string[] => result.notChecked.map((each) => each.what)
    expect(what(await verify(whole))).toEqual(
      expect.arrayContaining(['repetition', 'revocation', 'time', 'other runs']),
    )
  })

  test('finds several things wrong at once', async () => {
    const signed = sign(draft())
    signed.document.computation.seed = '7'
    signed.attestations[0].pcrs.sha256['3'] = 'f'.repeat(64)
    signed.attestations[2].signature = signed.attestations[1].signature
    const entries = entriesOf(signed)
    entries[entries.length - 1].content = new Uint8Array(7)
    const { evidence, findings } = await verify(await pack(entries))
    expect(evidence).toBe('refuted')
    expect(findings.map(({ code }) => code)).toEqual(expect.arrayContaining(['PCRS', 'BATCH', 'SIGNATURE', 'BLOB']))
    for (const { hint, message, path } of findings) expect([hint, message, path]).not.toContain('')
  })
})

describe('snapshots', () => {
  const counts = ({ snapshots, unsignedSnapshots, segments }: VerifyResult): unknown => [
    snapshots,
    unsignedSnapshots,
    segments.total,
  ]

  test('part the run into segments', async () => {
    const run = draft()
    for (const seq of [1, 3]) takeSnapshot(run, seq)
    expect(counts(await verify(await packed(sign(run))))).toEqual([2, [], 3])
    takeSnapshot(run, 4)
    expect(counts(await verify(await packed(sign(run))))).toEqual([3, [], 3])
  })

  test('without a signed head are named and count for nothing', async () => {
    const run = draft()
    for (const seq of [1, 3]) takeSnapshot(run, seq)
    const signed = sign(run)
    signed.attestations.pop()
    const result = await verify(await packed(signed))
    expect([result.evidence, counts(result)]).toEqual(['unverifiable', [1, [3], 2]])
  })

  test('that are not attached are said to be', async () => {
    const run = draft()
    for (const seq of [1, 3]) takeSnapshot(run, seq)
    run.contents.splice(10)
    const { notChecked } = await verify(await packed(sign(run)))
    expect(notChecked.find(({ what }) => what === 'contents of snapshots')?.why).toContain('1 of 2 are not attached')
  })
})

describe('a second attempt', () => {
  test('is judged against C at every checkpoint that it signs again, however many there are', async () => {
    const run = draft()
    const [first, grid, , , final] = run.checkpoints
    run.checkpoints = [first, grid]
    for (let seq = 2; seq < 200; seq++) run.checkpoints.push({ ...grid, kind: 2, seq, position: String(1003 + seq) })
    run.checkpoints.push({ ...final, seq: 200 })
    secondAttempt(run, 0, 8)
    const quote = (attempt: 1 | 2, seq: number, i: number) => ({
      ...run.quotes[attempt === 1 ? 0 : 2],
      attempt,
      seq,
      clockInfo: { ...run.quotes[attempt === 1 ? 0 : 2].clockInfo, clock: BigInt(70_000 + i) },
    })
    const again = Array.from({ length: 199 }, (_, i) => i + 2)
    run.quotes = [quote(1, 0, 0), quote(1, 150, 1), ...again.map((seq, i) => quote(2, seq, i + 2))]
    expect((await verify(await packed(sign(run)))).evidence).toBe('verified')
    run.quotes[100].told = { cumulative: chainOf(run)[1] }
    const { findings } = await verify(await packed(sign(run)))
    expect(findings.filter(({ severity }) => severity === 'refutes').map(({ code, path }) => [code, path])).toEqual([
      ['BATCH', 'attestations.jsonl:101'],
    ])
  })
})

/** Everything in record.json, as paths to its leaves. */
function leavesOf(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [path]
  return Object.entries(value).flatMap(([name, each]) => leavesOf(each, [...path, name]))
}

/** Another value that the decoders take in the same place. */
function otherThan(value: unknown, path: readonly string[]): unknown {
  const name = path[path.length - 1]
  if (typeof value === 'boolean') return !value
  if (typeof value === 'number') return value + 1
  if (name === 'startedAt') return '2020-01-01T00:00:00Z'
  if (name === 'floats') return 'host'
  if (name === 'transport') return 'device'
  if (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value))
    return value.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))
  if (typeof value === 'string' && /^[0-9]+$/.test(value)) return `1${value}`
  return typeof value === 'string' ? `${value}2` : 'x'
}

describe.each(['document', 'snapshots'] as const)('what stands in %s', (part) => {
  test('is covered by a signature', async () => {
    const base = sign({ ...resumed(), contents: [] })
    const paths = leavesOf(base[part])
    expect(paths.length).toBeGreaterThan(part === 'document' ? 70 : 7)
    for (const path of paths) {
      const signed = sign({ ...resumed(), contents: [] })
      let at = signed[part] as unknown as Record<string, unknown>
      for (const name of path.slice(0, -1)) at = at[name] as Record<string, unknown>
      const last = path[path.length - 1]
      at[last] = otherThan(at[last], path)
      const bytes = await packed(signed).catch(() => undefined)
      if (bytes !== undefined)
        expect([path.join('.'), (await verify(bytes)).evidence]).toEqual([path.join('.'), 'refuted'])
    }
  })
})

describe('assembleRecord', () => {
  const partsOf = (signed: ReturnType<typeof sign>): Parameters<typeof assembleRecord>[0] => ({
    ...signed,
    checkpoints: () => signed.checkpoints,
    attestations: () => signed.attestations,
    manifests: new Map(
      signed.snapshots.map(({ manifest }) => [
        manifest,
        decodeManifestBytes(signed.blobs.find(({ sha256 }) => sha256 === manifest)?.bytes ?? expect.fail(manifest)),
      ]),
    ),
  })

  test('makes a record that verifies, with all that its snapshots name', async () => {
    const signed = sign(resumed())
    const result = await verify(await collected(writeZip(assembleRecord(partsOf(signed)))))
    expect([result.evidence, result.snapshots]).toEqual(['verified', 2])
  })

  test('refuses what only a manifest names that is not attached', () => {
    const signed = sign(resumed())
    const manifests = new Set(signed.snapshots.map(({ manifest }) => manifest))
    const parts = partsOf(signed)
    const blobs = signed.blobs.filter(({ sha256 }) => !manifests.has(sha256))
    expect(() => assembleRecord({ ...parts, blobs })).toThrow('the record does not name it')
    expect(() => assembleRecord({ ...parts, manifests: new Map() })).toThrow('the record does not name it')
  })
})

describe('openRecord', () => {
  test('gives the parts of a record, streamed', async () => {
    const signed = sign(draft())
    const record = await openRecord(bytesSource(whole))
    expect(record.document).toEqual(signed.document)
    const checkpoints = []
    for await (const batch of record.checkpoints()) checkpoints.push(...batch)
    expect(checkpoints).toEqual(signed.checkpoints)
    const attestations = []
    for await (const batch of record.attestations()) attestations.push(...batch)
    expect(attestations).toEqual(signed.attestations)
    const { sha256 } = signed.document.computation.program
    expect((await record.blob(sha256)?.bytes(100))?.length).toBe(8)
    expect(record.findings.list()).toEqual([])
  })
})

describe('crateOf', () => {
  interface Graph {
    '@graph': (Record<string, unknown> & { '@id': string })[]
  }

  /** Every `{"@id": …}` that stands as a value. */
  function referencesIn(value: unknown): string[] {
    if (typeof value !== 'object' || value === null) return []
    const members = Object.entries(value)
    if (members.length === 1 && members[0][0] === '@id') return [String(members[0][1])]
    return members.flatMap(([, each]) => referencesIn(each))
  }

  const { '@graph': graph } = JSON.parse(crateOf(sign(draft()).document)) as Graph

  test('describes everything that it refers to', () => {
    const known = new Set(graph.map((entity) => entity['@id']))
    const open = referencesIn(graph).filter((id) => !known.has(id) && !/^https?:/.test(id))
    expect(open).toEqual([])
    expect(known.size).toBe(graph.length)
  })

  test('has a root dataset and an action as RO-Crate and Process Run Crate want them', () => {
    const entity = (id: string | RegExp): Record<string, unknown> =>
      graph.find((each) => (typeof id === 'string' ? each['@id'] === id : id.test(each['@id']))) ??
      expect.fail(String(id))
    expect(entity('ro-crate-metadata.json')['about']).toEqual({ '@id': './' })
    expect(Object.keys(entity('./'))).toEqual(
      expect.arrayContaining(['datePublished', 'description', 'license', 'name']),
    )
    const action = entity(/^#run-/)
    expect(action['@type']).toBe('CreateAction')
    expect(Object.keys(action)).toEqual(
      expect.arrayContaining(['instrument', 'object', 'result', 'startTime', 'actionStatus']),
    )
  })

  test('depends on record.json alone', async () => {
    const record = await openRecord(bytesSource(whole))
    const text = Buffer.from((await record.entries.get(RECORD_ENTRY)?.bytes(1 << 20)) ?? []).toString()
    expect(crateOf(decodeRecordDocument(JSON.parse(text)))).toBe(crateOf(sign(draft()).document))
  })
})
