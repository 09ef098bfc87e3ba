/** What is delivered, as bytes and in parts. Format: spec/agent.md §11. */

import { canonical, hex, parseCanonicalBytes, utf8 } from '@reprise/core'
import { bytes, integer, list, object, oneOf } from '@reprise/host/decode'
import { PART_BYTES_MAX, PARTS_MAX } from '../../channel/message-codec.ts'
import { RecoveryError } from '../../error.ts'
import { Secret } from '../../sealing/secret.ts'
import { CREDENTIAL_BYTES_MAX } from '../own/credentials.ts'
import { CONTENT_KEY_BYTES, type Contents, contentsOf } from '../own/provisioning.ts'
import { hostName } from '../state/host-file.ts'

const SCHEMA = 'reprise/recovery-delivery/v1'
export const CONTENTS_BYTES_MAX = PARTS_MAX * PART_BYTES_MAX
const CREDENTIALS_MAX = 1000
const IMAGE_KEYS_MAX = 63

interface ContentsFile {
  readonly schema: typeof SCHEMA
  readonly credentials: readonly { readonly name: string; readonly bytes: Uint8Array }[]
  readonly imageKeys: readonly { readonly version: number; readonly key: Uint8Array }[]
}

const decode = object<ContentsFile>({
  schema: oneOf(SCHEMA),
  credentials: list(
    object<ContentsFile['credentials'][number]>({ name: hostName, bytes: bytes(0, CREDENTIAL_BYTES_MAX) }),
    CREDENTIALS_MAX,
  ),
  imageKeys: list(
    object<ContentsFile['imageKeys'][number]>({ version: integer(1), key: bytes(CONTENT_KEY_BYTES) }),
    IMAGE_KEYS_MAX,
  ),
})

/** @returns For the caller to wipe. @throws {@link RecoveryError} `USAGE` when it is too much at once. */
export function encodeContents({ credentials, imageKeys }: Omit<Contents, typeof Symbol.dispose>): Secret {
  const made = Secret.owning(
    utf8(
      canonical({
        schema: SCHEMA,
        credentials: [...credentials].map(([name, secret]) => ({ name, bytes: hex(secret.bytes) })),
        imageKeys: imageKeys.map(({ version, key }) => ({ version, key: hex(key.bytes) })),
      }),
    ),
  )
  if (made.bytes.length <= CONTENTS_BYTES_MAX) return made
  const { length } = made.bytes
  made[Symbol.dispose]()
  throw new RecoveryError('USAGE', {
    message: `These are ${length} bytes to deliver; at most ${CONTENTS_BYTES_MAX} go at once.`,
    hint: 'deliver in several goes, each with a permission of its own',
  })
}

/** @throws {@link RecoveryError} `DELIVERY` for what are no contents. */
export function decodeContents(content: Uint8Array): Contents {
  const { credentials, imageKeys } = decodeFile(content)
  const contents = contentsOf(
    new Map(credentials.map(({ name, bytes: secret }) => [name, Secret.owning(secret)])),
    imageKeys.map(({ version, key }) => ({ version, key: Secret.owning(key) })),
  )
  const versions = new Set(imageKeys.map(({ version }) => version))
  if (contents.credentials.size === credentials.length && versions.size === imageKeys.length) return contents
  contents[Symbol.dispose]()
  throw malformed('a credential, or an image version, is there twice')
}

function decodeFile(content: Uint8Array): ContentsFile {
  try {
    return decode(parseCanonicalBytes(content, CONTENTS_BYTES_MAX, 'the delivery'), 'delivery')
  } catch (cause) {
    throw malformed((cause as Error).message)
  }
}

/** Without a cause: what a parser says of secrets may have some of them. */
function malformed(why: string): RecoveryError {
  return new RecoveryError('DELIVERY', { message: `This is no delivery: ${why}.` })
}

/** Views, not copies. */
export function partsOf({ bytes: content }: Secret): readonly Uint8Array[] {
  const count = Math.ceil(content.length / PART_BYTES_MAX)
  return Array.from({ length: count }, (_, i) => content.subarray(i * PART_BYTES_MAX, (i + 1) * PART_BYTES_MAX))
}
