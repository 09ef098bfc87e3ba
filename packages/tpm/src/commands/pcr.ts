/**
 * Platform configuration registers.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 3 §22.
 */

import {
  ByteWriter,
  encodePcrSelection,
  hashAlg,
  type HashAlgorithm,
  hashAlgorithm,
  type PcrBanks,
  type PcrSelection,
  readPcrSelection,
} from '@reprise/core'
import { type Command, command, type Executor, nothing } from '../command.ts'
import { pcr } from '../entity.ts'
import { TpmError } from '../error.ts'

/** Answers with at most eight values; see {@link readPcrs}. */
export function PcrRead(request: { readonly pcrSelectionIn: readonly PcrSelection[] }): Command<{
  readonly pcrUpdateCounter: number
  readonly pcrSelectionOut: readonly PcrSelection[]
  readonly pcrValues: readonly Uint8Array[]
}> {
  return command('PCR_Read', {
    parameters: encodePcrSelection(request.pcrSelectionIn),
    decode: ({ parameters }) => {
      const pcrUpdateCounter = parameters.u32()
      const pcrSelectionOut = readPcrSelection(parameters)
      const pcrValues = Array.from({ length: Math.min(parameters.u32(), PCR_VALUES_MAX) }, () =>
        parameters.tpm2b().slice(),
      )
      return { pcrUpdateCounter, pcrSelectionOut, pcrValues }
    },
  })
}

/** TPML_DIGEST has at most eight entries, Part 2 §10.9.5. */
const PCR_VALUES_MAX = 8
/** Begins again this often when somebody extends a register in between. */
const READ_ATTEMPTS = 5

/**
 * Reads any number of registers, all of one moment.
 *
 * @throws {@link TpmError} `USAGE` when a selected bank or register does not exist, `MALFORMED` when registers keep changing.
 */
export async function readPcrs(tpm: Executor, selection: readonly PcrSelection[]): Promise<PcrBanks> {
  for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
    const banks = await readPcrsOnce(tpm, selection)
    if (banks !== undefined) return banks
  }
  throw new TpmError('MALFORMED', { message: `PCRs changed during each of ${READ_ATTEMPTS} attempts to read them.` })
}

async function readPcrsOnce(tpm: Executor, selection: readonly PcrSelection[]): Promise<PcrBanks | undefined> {
  const banks: { [bank in HashAlgorithm]?: { [pcr: number]: Uint8Array } } = {}
  let wanted = selection
  let counter: number | undefined
  while (wanted.some(({ pcrs }) => pcrs.length > 0)) {
    const answer = await tpm.execute(PcrRead({ pcrSelectionIn: wanted }))
    counter ??= answer.pcrUpdateCounter
    if (counter !== answer.pcrUpdateCounter) return undefined
    const got = answer.pcrSelectionOut.flatMap(({ hash, pcrs }) => pcrs.map((index) => ({ hash, index })))
    if (got.length === 0 || got.length !== answer.pcrValues.length) {
      throw new TpmError('USAGE', {
        message: 'The TPM does not have all the selected PCRs.',
        hint: 'Its PCR bank may not be active.',
      })
    }
    // What was not asked for would never be enough, and may be of a bank that nobody knows.
    if (got.some(({ hash, index }) => !wanted.some((one) => one.hash === hash && one.pcrs.includes(index))))
      throw new TpmError('MALFORMED', { message: 'TPM2_PCR_Read: the answer has PCRs that were not asked for.' })
    for (const [i, { hash, index }] of got.entries()) (banks[hashAlgorithm(hash)] ??= {})[index] = answer.pcrValues[i]
    wanted = wanted.map((one) => ({
      ...one,
      pcrs: one.pcrs.filter((index) => banks[hashAlgorithm(one.hash)]?.[index] === undefined),
    }))
  }
  return banks
}

/** Extends one register with a digest for each bank that shall change. */
export function PcrExtend(request: { readonly pcrHandle: number; readonly digests: PcrDigests }): Command<void> {
  const entries = Object.entries(request.digests) as [HashAlgorithm, Uint8Array][]
  const parameters = new ByteWriter().u32(entries.length)
  for (const [algorithm, digest] of entries) parameters.u16(hashAlg(algorithm)).raw(digest)
  return command('PCR_Extend', {
    handles: [pcr(request.pcrHandle)],
    authorizations: 1,
    parameters: parameters.done(),
    decode: nothing,
  })
}

/** TPML_DIGEST_VALUES. */
export type PcrDigests = { readonly [bank in HashAlgorithm]?: Uint8Array }

/** Only 16 and 23 of a PC can be reset from locality 0. */
export function PcrReset(request: { readonly pcrHandle: number }): Command<void> {
  return command('PCR_Reset', { handles: [pcr(request.pcrHandle)], authorizations: 1, decode: nothing })
}
