/** `identity.json`: what a host keeps of its identity outside the TPM. */

import { fromUtf8, hex } from '@reprise/core'
import { HostError } from '../error.ts'
import { readIfThere, writeAtomically } from '../files.ts'
import { bytes, type Decode, integer, nullable, object, oneOf } from '../signer/decode.ts'

interface Begun {
  readonly schema: 'reprise/identity/v1'
  readonly state: 'begun'
  readonly transport: 'swtpm' | 'device'
  /** 32 random bytes in the AK's template: what makes its key this one. */
  readonly unique: Uint8Array
}

export interface StoredIdentity extends Omit<Begun, 'state'> {
  readonly state: 'complete'
  readonly akHandle: number
  /** Handle of the NV counter; null for an identity that was made before there was one. */
  readonly counterHandle: number | null
  readonly akName: Uint8Array
  readonly ekName: Uint8Array
  /** X.509 DER; null when the TPM has none that fits. */
  readonly ekCertificate: Uint8Array | null
}

export type Stored = Begun | StoredIdentity

const schema = oneOf('reprise/identity/v1')
const transport = oneOf('swtpm', 'device')
const DECODERS: { readonly [State in Stored['state']]: Decode<Stored & { readonly state: State }> } = {
  begun: object({ schema, state: oneOf('begun'), transport, unique: bytes(32) }),
  complete: object({
    schema,
    state: oneOf('complete'),
    transport,
    unique: bytes(32),
    akHandle: integer(0x81000000, 0x81ffffff),
    counterHandle: nullable(integer(0x01000000, 0x01ffffff)),
    akName: bytes(34),
    ekName: bytes(34, 66),
    ekCertificate: nullable(bytes(1, 16_384)),
  }),
}

/** @throws {@link HostError} `IDENTITY_DAMAGED` for a file that is not exactly an identity. */
export async function readIdentity(path: string): Promise<Stored | undefined> {
  const content = await readIfThere(path)
  if (content === undefined) return undefined
  try {
    const value = JSON.parse(fromUtf8(content)) as { readonly state?: unknown }
    if (value.state !== 'complete') return DECODERS.begun(value, 'identity')
    return DECODERS.complete({ counterHandle: null, ...value }, 'identity')
  } catch (cause) {
    throw new HostError('IDENTITY_DAMAGED', {
      message: `${path} is damaged: ${(cause as Error).message}`,
      hint: 'Bring the file back from a backup, or give this host a new identity: reprise host init --new',
      cause,
    })
  }
}

export async function writeIdentity(path: string, identity: Stored): Promise<void> {
  const json = Object.entries(identity).map(([name, value]) => [name, value instanceof Uint8Array ? hex(value) : value])
  await writeAtomically(path, `${JSON.stringify(Object.fromEntries(json), undefined, 2)}\n`)
}
