/** `host.json`: who this host is, and which TPM and key are its own. Format: spec/agent.md §3. */

import { bytes, type Decode, integer, object, oneOf, text } from '@reprise/host/decode'
import type { HostId } from '../../types.ts'
import type { StateFile } from './folder.ts'

/** The TPM of a host. */
export type TpmPlace =
  | { readonly kind: 'device'; readonly path: string }
  | { readonly kind: 'software'; readonly folder: string }

export interface AkPlace {
  /** Goes into the template, so that the same key comes again from the same TPM. */
  readonly unique: Uint8Array
  readonly handle: number
  /** TPMT_PUBLIC. */
  readonly public: Uint8Array
}

export interface HostFile {
  readonly schema: typeof HOST_SCHEMA
  readonly host: HostId
  readonly tpm: TpmPlace
  /** TPMT_PUBLIC of the storage key, pinned. */
  readonly storageKey: Uint8Array
  readonly ak: AkPlace
}

export const HOST_SCHEMA = 'reprise/recovery-host/v1'
export const HOST_NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/

export const hostName: Decode<HostId> = (value, path) => {
  const name = text(63)(value, path)
  if (!HOST_NAME.test(name)) throw new RangeError(`${path} is no name of a host`)
  return name
}

const device = object<TpmPlace & { kind: 'device' }>({ kind: oneOf('device'), path: text(4096) })
const software = object<TpmPlace & { kind: 'software' }>({ kind: oneOf('software'), folder: text(4096) })
const place: Decode<TpmPlace> = (value, path) =>
  (value as { kind?: unknown } | null)?.kind === 'device' ? device(value, path) : software(value, path)

export const HOST_FILE: StateFile<HostFile> = {
  schema: HOST_SCHEMA,
  bytesMax: 1 << 16,
  decode: object<HostFile>({
    schema: oneOf(HOST_SCHEMA),
    host: hostName,
    tpm: place,
    storageKey: bytes(1, 1024),
    ak: object<AkPlace>({ unique: bytes(32), handle: integer(0x81000000, 0x81ffffff), public: bytes(1, 1024) }),
  }),
}
