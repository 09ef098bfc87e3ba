/** The logs of the kernel that a record carries, as they are found when an attempt begins. Format: spec/host.md §1. */
import { open } from 'node:fs/promises'
import { EVENT_LOG_BYTES_MAX, LOG_BYTES_MAX, type LogKind } from '@reprise/core'

export type FoundLog =
  | { readonly kind: LogKind; readonly bytes: Uint8Array; readonly source: 'host' | 'user' }
  | { readonly kind: LogKind; readonly leftOut: 'too-large' | 'unreadable'; readonly why: string }

/** Where logs are read from; null: there is none. */
export interface LogPlaces {
  readonly boot: LogPlace | null
  readonly ima: LogPlace | null
}

export interface LogPlace {
  readonly path: string
  readonly source: 'host' | 'user'
}

const BOOT_PATH = '/sys/kernel/security/tpm0/binary_bios_measurements'
const IMA_PATH = '/sys/kernel/security/ima/binary_runtime_measurements'

/**
 * The kernel's logs belong to the machine's own TPM. Beside a software TPM there are none but those that the user names:
 * `REPRISE_EVENT_LOG` and `REPRISE_IMA_LIST`.
 */
export function logPlaces(
  transport: 'swtpm' | 'device',
  { REPRISE_EVENT_LOG: boot, REPRISE_IMA_LIST: ima }: NodeJS.ProcessEnv = process.env,
): LogPlaces {
  const place = (given: string | undefined, path: string): LogPlace | null => {
    if (given !== undefined && given !== '') return { path: given, source: 'user' }
    return transport === 'device' ? { path, source: 'host' } : null
  }
  return { boot: place(boot, BOOT_PATH), ima: place(ima, IMA_PATH) }
}

/** @returns Undefined when there is no such log. */
export async function findLog(kind: 'boot' | 'ima', places: LogPlaces): Promise<FoundLog | undefined> {
  const place = places[kind]
  if (place === null) return undefined
  const lengthBytesMax = kind === 'boot' ? EVENT_LOG_BYTES_MAX : LOG_BYTES_MAX
  try {
    const bytes = await readUpTo(place.path, lengthBytesMax + 1)
    if (bytes.length > lengthBytesMax)
      return { kind, leftOut: 'too-large', why: `${place.path} has more than ${lengthBytesMax} bytes` }
    return { kind, bytes, source: place.source }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    // What the user named is there, or it is a mistake.
    if (code === 'ENOENT' && place.source === 'host') return undefined
    return { kind, leftOut: 'unreadable', why: message }
  }
}

/** Files of securityfs say that they have no bytes: they are read to their end. */
async function readUpTo(path: string, lengthBytesMax: number): Promise<Uint8Array> {
  const file = await open(path, 'r')
  try {
    const chunks: Uint8Array[] = []
    let lengthBytes = 0
    while (lengthBytes < lengthBytesMax) {
      const chunk = new Uint8Array(Math.min(1 << 20, lengthBytesMax - lengthBytes))
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null)
      if (bytesRead === 0) break
      chunks.push(chunk.subarray(0, bytesRead))
      lengthBytes += bytesRead
    }
    return new Uint8Array(Buffer.concat(chunks))
  } finally {
    await file.close()
  }
}
