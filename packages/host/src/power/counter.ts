/**
 * The NV counter of an identity: what it has signed in, power cycles and attempts of runs, is counted where nobody can count
 * back. Format: spec/power-cycles.md §3.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §37.2.4 (NV counters), Part 3 §31; TCG Registry of Reserved TPM 2.0 Handles
 * (0x01800000 to 0x01bfffff are the owner's).
 */

import { ByteReader, encodeTpmsNvPublic, hex, TPM_ALG, TPM_HT, TPMA_NV, type CounterStatement } from '@reprise/core'
import {
  isResponse,
  NvCertify,
  NvDefineSpace,
  NvIncrement,
  type NvIndex,
  NvRead,
  NvUndefineSpace,
  type ObjectEntity,
  openNvIndex,
  OWNER,
  readHandles,
  type Tpm,
} from '@reprise/tpm'
import { HostError } from '../error.ts'
import { isWrongAuth, locked } from '../identity/unfit.ts'

const COUNTER_INDEXES = { first: 0x01803500, last: 0x018035ff }
const ATTRIBUTES = TPMA_NV.COUNTER | TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA
const COUNTER_BYTES = 8

/**
 * Makes the counter, or finds the one that a crash left: it opens with the same authValue. Counts once, for a counter that never
 * counted cannot be certified.
 *
 * @returns Its handle.
 * @throws {@link HostError} `TPM_LOCKED` when the owner has a password, `TPM_UNFIT` when there is no room for it.
 */
export async function makeCounter(tpm: Tpm, auth: Uint8Array): Promise<number> {
  const taken = await readHandles(tpm, TPM_HT.NV_INDEX)
  let free: number | undefined
  for (let handle = COUNTER_INDEXES.first; handle <= COUNTER_INDEXES.last; handle++) {
    if (!taken.includes(handle)) free ??= handle
    else if (await countsWith(tpm, handle, auth)) return handle
  }
  if (free === undefined) throw noRoom()
  const publicInfo = { nvIndex: free, nameAlg: TPM_ALG.SHA256, attributes: ATTRIBUTES, authPolicy: new Uint8Array() }
  try {
    await tpm.execute(
      NvDefineSpace({ authHandle: OWNER, publicInfo: { ...publicInfo, dataSize: COUNTER_BYTES }, auth }),
    )
  } catch (cause) {
    if (isWrongAuth(cause)) throw locked('owner', 'no counter can be made in it', cause)
    if (isResponse(cause, 'TPM_RC_NV_SPACE')) throw noRoom(cause)
    throw cause
  }
  await increment(tpm, await openNvIndex(tpm, free, auth))
  return free
}

function noRoom(cause?: unknown): HostError {
  return new HostError('TPM_UNFIT', {
    message: 'The TPM has no room for a counter of this host in its non-volatile memory.',
    hint: 'List what is there with tpm2_nvreadpublic, and free what nobody needs with tpm2_nvundefine.',
    cause,
  })
}

/** Whether that index is a counter of ours; no other one counts with this authValue. */
async function countsWith(tpm: Tpm, handle: number, auth: Uint8Array): Promise<boolean> {
  const nvIndex = await openNvIndex(tpm, handle, auth)
  if ((nvIndex.nvPublic.attributes & ~TPMA_NV.WRITTEN) !== ATTRIBUTES) return false
  try {
    await increment(tpm, nvIndex)
    return true
  } catch (error) {
    if (isWrongAuth(error)) return false
    throw error
  }
}

async function increment(tpm: Tpm, nvIndex: NvIndex): Promise<void> {
  await tpm.execute(NvIncrement({ authHandle: nvIndex, nvIndex }))
}

/** Takes the counter of an identity that is given up out of the TPM. */
export async function removeCounter(tpm: Tpm, handle: number): Promise<void> {
  if (!(await readHandles(tpm, TPM_HT.NV_INDEX)).includes(handle)) return
  const nvIndex = await openNvIndex(tpm, handle)
  // What others put there since is not ours to take.
  if ((nvIndex.nvPublic.attributes & ~TPMA_NV.WRITTEN) !== ATTRIBUTES) return
  await tpm.execute(NvUndefineSpace({ authHandle: OWNER, nvIndex }))
}

/** The counter of a host whose identity is made. */
export class Counter {
  readonly #tpm: Tpm
  readonly #nvIndex: NvIndex

  private constructor(tpm: Tpm, nvIndex: NvIndex) {
    this.#tpm = tpm
    this.#nvIndex = nvIndex
  }

  /** @throws {@link HostError} `TPM_CHANGED` when the index is gone or is not this counter. */
  static async open(tpm: Tpm, handle: number, auth: Uint8Array): Promise<Counter> {
    const isThere = (await readHandles(tpm, TPM_HT.NV_INDEX)).includes(handle)
    const nvIndex = isThere ? await openNvIndex(tpm, handle, auth) : undefined
    if (nvIndex?.nvPublic.attributes !== (ATTRIBUTES | TPMA_NV.WRITTEN)) {
      throw new HostError('TPM_CHANGED', {
        message: `The TPM ${isThere ? 'has something else' : 'holds nothing'} at NV index 0x${handle.toString(16)}, where the counter of this host was.`,
        hint: 'Somebody removed it. Become a new host: reprise host init --new',
      })
    }
    return new Counter(tpm, nvIndex)
  }

  async increment(): Promise<void> {
    await increment(this.#tpm, this.#nvIndex)
  }

  async read(): Promise<bigint> {
    const nvIndex = this.#nvIndex
    const { data } = await this.#tpm.execute(NvRead({ authHandle: nvIndex, nvIndex, size: COUNTER_BYTES }))
    return new ByteReader(data).u64()
  }

  async certify(signHandle: ObjectEntity, qualifyingData: Uint8Array): Promise<CounterStatement> {
    const nvIndex = this.#nvIndex
    const { attest, signature } = await this.#tpm.execute(
      NvCertify({ signHandle, authHandle: nvIndex, nvIndex, size: COUNTER_BYTES, qualifyingData }),
    )
    return { attest: hex(attest), public: hex(encodeTpmsNvPublic(nvIndex.nvPublic)), signature: hex(signature) }
  }
}
