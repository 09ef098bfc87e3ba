/**
 * Quotes as tpm2-tools reads them, so that somebody else's program can check what a TPM signed.
 *
 * Source: tpm2-tools 5.4, tpm2_quote(1) and tpm2_checkquote(1). The serialised PCR format has no document of its own: it is
 * the memory of TPML_PCR_SELECTION and of TPML_DIGESTs as tpm2-tss lays them out on x86-64, little-endian
 * (vectors/tpm2-tools has a file of theirs).
 */

import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  decodeTpmsAttest,
  decodeTpmtPublic,
  EvidenceError,
  hashAlgorithm,
  hex,
  type PcrBanks,
  type PcrSelection,
  toPublicKey,
  TPM_ST,
} from '@reprise/core'
import { keyObject } from '../crypto.ts'
import { syncFolder, temporaryName } from '../durable.ts'
import { systemCode, RunnerError, writeFailure } from '../error.ts'

export interface Tpm2Attestation {
  /** TPMS_ATTEST of a quote. */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array
  /** A value for every register that the quote selects. */
  readonly pcrs: PcrBanks
  /** What the quote's extraData should be: recomputed, not taken from the quote. */
  readonly qualification: Uint8Array
  /** Which of the keys signed it. */
  readonly host: number
}

export interface Tpm2Evidence {
  /** TPMT_PUBLIC of each host's key. */
  readonly akPublics: readonly Uint8Array[]
  readonly attestations: Iterable<Tpm2Attestation> | AsyncIterable<Tpm2Attestation>
}

/**
 * Writes `ak.pem`, `README.txt` and, for each attestation, `NNNN.attest`, `.sig`, `.pcrs` and `.qualification` (hex), counted from
 * 0000; of more hosts than one in a folder `host-I` for each, counted over all of them. The folder appears at once and complete; it
 * must not exist yet, or be empty.
 *
 * @returns How many attestations were written.
 * @throws `EvidenceError` `STRUCTURE` for a key or an attestation that cannot be decoded, is no quote, or lacks a PCR value.
 * @throws {@link RunnerError} `WRITE`, `DISK_FULL`.
 */
export async function exportTpm2({ akPublics, attestations }: Tpm2Evidence, folder: string): Promise<number> {
  const pems = akPublics.map((key) =>
    keyObject(toPublicKey(decodeTpmtPublic(key))).export({ type: 'spki', format: 'pem' }),
  )
  const temporary = temporaryName(dirname(folder))
  const folderOf = (host: number): string => (pems.length === 1 ? temporary : join(temporary, `host-${host}`))
  let index = 0
  try {
    await mkdir(temporary)
    for (const [host, pem] of pems.entries()) {
      if (pems.length > 1) await mkdir(folderOf(host))
      await writeFile(join(folderOf(host), 'ak.pem'), pem)
      await writeFile(join(folderOf(host), 'README.txt'), README)
    }
    for await (const attestation of attestations) {
      const base = join(folderOf(attestation.host), String(index++).padStart(4, '0'))
      await writeFile(`${base}.attest`, attestation.attest)
      await writeFile(`${base}.sig`, attestation.signature)
      await writeFile(`${base}.pcrs`, serialisePcrs(attestation))
      await writeFile(`${base}.qualification`, hex(attestation.qualification))
    }
    await rename(temporary, folder)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    if (error instanceof EvidenceError) throw error
    if (['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(systemCode(error) ?? '')) {
      throw new RunnerError('WRITE', {
        message: `${folder} is there already`,
        hint: 'name a folder that does not exist',
        cause: error,
      })
    }
    throw writeFailure(error, folder, 'the attestations')
  }
  await syncFolder(dirname(folder))
  return index
}

const README = `Attestations of a TPM, as tpm2-tools reads them. To check each one:

    for q in *.qualification; do
      n=\${q%.qualification}
      tpm2_checkquote -u ak.pem -m $n.attest -s $n.sig -f $n.pcrs -q $(cat $q) -g sha256 || echo "$n does not hold"
    done

ak.pem              the attestation key
NNNN.attest         TPMS_ATTEST, what was signed
NNNN.sig            TPMT_SIGNATURE
NNNN.pcrs           the PCR values that it quotes, in the format of "tpm2_quote -o"
NNNN.qualification  its qualifying data in hex, recomputed from the run's checkpoints

This shows that the key signed these values. That the key lives in a TPM, and that the values are those of
the run, is for "reprise verify" on the record.
`

/** Sizes of the structures in memory: TPM2_NUM_PCR_BANKS, TPML_DIGEST's eight TPM2B_DIGEST of up to 64 bytes. */
const BANKS = 16
const SELECTION_BYTES = 8
const SELECTION_LIST_BYTES = 4 + BANKS * SELECTION_BYTES
const DIGESTS = 8
const DIGEST_BYTES = 2 + 64
const DIGEST_LIST_BYTES = 4 + DIGESTS * DIGEST_BYTES

function serialisePcrs({ attest, pcrs }: Tpm2Attestation): Uint8Array {
  const decoded = decodeTpmsAttest(attest)
  if (decoded.type !== TPM_ST.ATTEST_QUOTE)
    throw new EvidenceError('STRUCTURE', { message: 'the attestation is no quote' })
  const selection = decoded.attested.pcrSelect
  const values = selection.flatMap((bank) => valuesOf(bank, pcrs))
  const lists = Math.ceil(values.length / DIGESTS)
  const bytes = new Uint8Array(SELECTION_LIST_BYTES + 4 + lists * DIGEST_LIST_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, selection.length, true)
  for (const [index, bank] of selection.entries()) writeSelection(view, 4 + index * SELECTION_BYTES, bank)
  view.setUint32(SELECTION_LIST_BYTES, lists, true)
  for (const [index, value] of values.entries()) {
    const list = SELECTION_LIST_BYTES + 4 + Math.floor(index / DIGESTS) * DIGEST_LIST_BYTES
    const digest = list + 4 + (index % DIGESTS) * DIGEST_BYTES
    view.setUint32(list, (index % DIGESTS) + 1, true)
    view.setUint16(digest, value.length, true)
    bytes.set(value, digest + 2)
  }
  return bytes
}

function valuesOf({ hash, pcrs }: PcrSelection, banks: PcrBanks): readonly Uint8Array[] {
  const bank = hashAlgorithm(hash)
  return pcrs.map((pcr) => {
    const value = banks[bank]?.[pcr]
    if (value !== undefined) return value
    throw new EvidenceError('STRUCTURE', {
      message: `the quote selects PCR ${pcr} of bank ${bank}, whose value is not there`,
    })
  })
}

function writeSelection(view: DataView, at: number, { hash, pcrs, sizeofSelect = 3 }: PcrSelection): void {
  view.setUint16(at, hash, true)
  view.setUint8(at + 2, sizeofSelect)
  for (const pcr of pcrs) {
    const octet = at + 3 + (pcr >> 3)
    view.setUint8(octet, view.getUint8(octet) | (1 << (pcr & 7)))
  }
}
