/**
 * Non-volatile indexes: counters, data, and the home of approved policies.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 3 §31.
 */

import {
  ByteWriter,
  concat,
  decodeTpmsNvPublic,
  encodeTpmsNvPublic,
  equal,
  nvName,
  type TpmsNvPublic,
} from '@reprise/core'
import { type Command, command, type Executor, nothing } from '../command.ts'
import { type Entity, namedByHandle } from '../entity.ts'
import { TpmError } from '../error.ts'
import { hash } from '../hashing.ts'

/** An index as an entity. Its Name changes with its first write: open it again then. */
export interface NvIndex extends Entity {
  readonly nvPublic: TpmsNvPublic
}

export function NvDefineSpace(request: {
  readonly authHandle: Entity
  readonly publicInfo: TpmsNvPublic
  /** authValue of the new index. */
  readonly auth?: Uint8Array
}): Command<void> {
  return command('NV_DefineSpace', {
    handles: [request.authHandle],
    authorizations: 1,
    parameters: new ByteWriter()
      .tpm2b(request.auth ?? new Uint8Array())
      .tpm2b(encodeTpmsNvPublic(request.publicInfo))
      .done(),
    encryptable: 'command',
    decode: nothing,
  })
}

export function NvUndefineSpace(request: { readonly authHandle: Entity; readonly nvIndex: Entity }): Command<void> {
  return command('NV_UndefineSpace', {
    handles: [request.authHandle, request.nvIndex],
    authorizations: 1,
    decode: nothing,
  })
}

export function NvReadPublic(request: {
  readonly nvIndex: number
}): Command<{ readonly nvPublic: TpmsNvPublic; readonly nvName: Uint8Array }> {
  return command('NV_ReadPublic', {
    handles: [namedByHandle(request.nvIndex)],
    decode: ({ parameters }) => {
      const nvPublic = decodeTpmsNvPublic(parameters.tpm2b().slice())
      const name = parameters.tpm2b()
      if (!equal(name, nvName(nvPublic, hash))) {
        throw new TpmError('MALFORMED', {
          message: 'The TPM gives an NV index a Name that is not the hash of its public area.',
        })
      }
      return { nvPublic, nvName: name }
    },
  })
}

/** Reads an index's public area, so that it can be used. */
export async function openNvIndex(tpm: Executor, handle: number, authValue?: Uint8Array): Promise<NvIndex> {
  const { nvPublic, nvName } = await tpm.execute(NvReadPublic({ nvIndex: handle }))
  return { handle, name: nvName, nvPublic, authValue }
}

/** `authHandle` in all that follows: the index itself, or a hierarchy that its attributes allow. */
interface NvAccess {
  readonly authHandle: Entity
  readonly nvIndex: Entity
}

/** @param request.size - At most TPM_PT_NV_BUFFER_MAX bytes; see {@link readNv}. */
export function NvRead(
  request: NvAccess & { readonly size: number; readonly offset?: number },
): Command<{ readonly data: Uint8Array }> {
  return command('NV_Read', {
    handles: [request.authHandle, request.nvIndex],
    authorizations: 1,
    parameters: new ByteWriter()
      .u16(request.size)
      .u16(request.offset ?? 0)
      .done(),
    encryptable: 'response',
    decode: ({ parameters }) => ({ data: parameters.tpm2b().slice() }),
  })
}

/** Every TPM reads that many bytes at a time. */
const NV_CHUNK_BYTES = 512

/** The whole contents of an index. */
export async function readNv(
  tpm: Executor,
  request: { readonly authHandle: Entity; readonly nvIndex: NvIndex },
): Promise<Uint8Array> {
  const { dataSize } = request.nvIndex.nvPublic
  const chunks: Uint8Array[] = []
  for (let offset = 0; offset < dataSize; offset += NV_CHUNK_BYTES) {
    const size = Math.min(NV_CHUNK_BYTES, dataSize - offset)
    chunks.push((await tpm.execute(NvRead({ ...request, size, offset }))).data)
  }
  return concat(...chunks)
}

export function NvWrite(request: NvAccess & { readonly data: Uint8Array; readonly offset?: number }): Command<void> {
  return command('NV_Write', {
    handles: [request.authHandle, request.nvIndex],
    authorizations: 1,
    parameters: new ByteWriter()
      .tpm2b(request.data)
      .u16(request.offset ?? 0)
      .done(),
    encryptable: 'command',
    decode: nothing,
  })
}

/** Adds one to a counter. A new counter begins above every value that any counter of this TPM ever had. */
export function NvIncrement(request: NvAccess): Command<void> {
  return command('NV_Increment', { handles: [request.authHandle, request.nvIndex], authorizations: 1, decode: nothing })
}

/** Extends an index with TPM_NT_EXTEND as if it were a PCR. */
export function NvExtend(request: NvAccess & { readonly data: Uint8Array }): Command<void> {
  return command('NV_Extend', {
    handles: [request.authHandle, request.nvIndex],
    authorizations: 1,
    parameters: new ByteWriter().tpm2b(request.data).done(),
    encryptable: 'command',
    decode: nothing,
  })
}
