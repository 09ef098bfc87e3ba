import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromHex } from '@reprise/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { exportTpm2, type Tpm2Attestation, type Tpm2Evidence } from './tpm2.ts'

const vector = new URL('../../../../vectors/tpm2-tools/quote-p256/', import.meta.url)

async function evidenceOfVector(): Promise<Tpm2Evidence & { attestations: readonly Tpm2Attestation[] }> {
  const read = async (name: string): Promise<Uint8Array> => new Uint8Array(await readFile(new URL(name, vector)))
  const extended = fromHex('8878b15a7d6a3a4f464e8f9f42591dbc0cf4bedea0ec309003d2b2ee53655ef8')
  const sha256 = Object.fromEntries([0, 1, 2, 3, 4, 5, 6, 7, 16].map((pcr) => [pcr, new Uint8Array(32)]))
  return {
    akPublics: [await read('ak.tpmt')],
    attestations: [
      {
        attest: await read('quote.attest'),
        signature: await read('quote.sig'),
        pcrs: { sha256: { ...sha256, 7: extended } },
        qualification: fromHex('aabb'),
        host: 0,
      },
    ],
  }
}

describe('exportTpm2', () => {
  let base: string
  beforeEach(async () => void (base = await mkdtemp(join(tmpdir(), 'reprise-tpm2-'))))
  afterEach(() => rm(base, { recursive: true }))

  test('writes the bytes that tpm2_quote and tpm2_readpublic write', async () => {
    await exportTpm2(await evidenceOfVector(), join(base, 'out'))
    for (const [name, theirs] of [
      ['ak.pem', 'ak.pem'],
      ['0000.attest', 'quote.attest'],
      ['0000.sig', 'quote.sig'],
      ['0000.pcrs', 'quote.pcrs'],
    ]) {
      expect(await readFile(join(base, 'out', name))).toEqual(await readFile(new URL(theirs, vector)))
    }
    expect(await readFile(join(base, 'out/0000.qualification'), 'utf8')).toBe('aabb')
    expect(await readdir(base)).toEqual(['out'])
  })

  test('does not touch a folder that holds something, and leaves nothing behind', async () => {
    await mkdir(join(base, 'out'))
    await writeFile(join(base, 'out/mine'), 'x')
    await expect(exportTpm2(await evidenceOfVector(), join(base, 'out'))).rejects.toMatchObject({ code: 'WRITE' })
    expect(await readdir(base)).toEqual(['out'])
    expect(await readdir(join(base, 'out'))).toEqual(['mine'])
  })

  test('refuses a quote whose PCR values are not all there', async () => {
    const evidence = await evidenceOfVector()
    const attestations = [{ ...evidence.attestations[0], pcrs: { sha256: { 0: new Uint8Array(32) } } }]
    await expect(exportTpm2({ ...evidence, attestations }, join(base, 'out'))).rejects.toMatchObject({
      code: 'STRUCTURE',
    })
    expect(await readdir(base)).toEqual([])
  })
})
