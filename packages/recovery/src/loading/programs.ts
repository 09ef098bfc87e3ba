/** What an image says of its services: how each one is started. Format: spec/loading.md §2. */

import { utf8 } from '@reprise/core'
import { boolean, type Decode, dictionary, integer, list, object, oneOf, optional, text } from '@reprise/host/decode'
import { RecoveryError } from '../error.ts'

/** How a service of the image is started (§2.1). */
export interface Program {
  readonly name: string
  /** Absolute path of a program in the image, and its arguments. */
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly directory: string
  readonly uid: number
  readonly gid: number
  /** It is ready when it has ended with 0. */
  readonly once: boolean
  /** What it has between SIGTERM and SIGKILL, in milliseconds. */
  readonly stopWithinMs: number
}

/** What of the host is seen in the image (§2.2). */
export interface Volume {
  readonly host: string
  readonly at: string
}

export interface Programs {
  readonly programs: readonly Program[]
  readonly volumes: readonly Volume[]
}

/** Where it stands in an image. */
export const PROGRAMS_PATH = '/etc/reprise/services.json'
export const PROGRAMS_BYTES_MAX = 1 << 20
const PROGRAMS_MAX = 1000
const VOLUMES_MAX = 256
const ID_MAX = 0xff_ff_ff_fe

const SERVICE_NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/

const name: Decode<string> = (value, path) => {
  const found = text(63)(value, path)
  if (SERVICE_NAME.test(found)) return found
  throw new TypeError(`${path} must be 1 to 63 of a-z 0-9 . _ -, with a letter or digit at both ends`)
}

const absolute: Decode<string> = (value, path) => {
  const found = text(4096)(value, path)
  if (found.startsWith('/') && !found.includes('\0') && !found.split('/').includes('..')) return found
  throw new TypeError(`${path} must be an absolute path without ..`)
}

const argument: Decode<string> = (value, path) => {
  const found = text(131_072)(value, path)
  if (!found.includes('\0')) return found
  throw new TypeError(`${path} must have no zero byte`)
}

const command: Decode<string[]> = (value, path) => {
  const [program, ...args] = list(argument, 1024)(value, path)
  return [absolute(program, `${path}[0]`), ...args]
}

interface ProgramJson {
  readonly name: string
  readonly command: readonly string[]
  readonly environment?: Readonly<Record<string, string>> | undefined
  readonly directory?: string | undefined
  readonly user?: number | undefined
  readonly group?: number | undefined
  readonly once?: boolean | undefined
  readonly stopWithinMs?: number | undefined
}

interface ProgramsJson {
  readonly schema: 'reprise/services/v1'
  readonly services: readonly ProgramJson[]
  readonly volumes?: readonly Volume[] | undefined
}

const decode = object<ProgramsJson>({
  schema: oneOf('reprise/services/v1'),
  services: list(
    object<ProgramJson>({
      name,
      command,
      environment: optional(dictionary(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, argument)),
      directory: optional(absolute),
      user: optional(integer(0, ID_MAX)),
      group: optional(integer(0, ID_MAX)),
      once: optional(boolean),
      stopWithinMs: optional(integer(0, 3_600_000)),
    }),
    PROGRAMS_MAX,
  ),
  volumes: optional(list(object<Volume>({ host: absolute, at: absolute }), VOLUMES_MAX)),
})

/**
 * @param where - For messages.
 * @throws {@link RecoveryError} `SERVICES` with the member that is wrong.
 */
export function parsePrograms(content: Uint8Array, where: string): Programs {
  try {
    if (content.length > PROGRAMS_BYTES_MAX) throw new TypeError(`it is longer than ${PROGRAMS_BYTES_MAX} bytes`)
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content))
    const { services, volumes = [] } = decode(json, 'services.json')
    const names = services.map((service) => service.name)
    const twice = names.find((one, i) => names.indexOf(one) !== i)
    if (twice !== undefined) throw new TypeError(`there are two services called ${twice}`)
    return { programs: services.map(programOf), volumes }
  } catch (cause) {
    throw new RecoveryError('SERVICES', {
      message: `${where} does not say how services are started: ${(cause as Error).message}`,
      hint: 'Compare with spec/loading.md, section 2, and build the image again.',
      cause,
    })
  }
}

function programOf(json: ProgramJson): Program {
  const { name, command, environment = {}, directory = '/', user = 0, group = user, once = false } = json
  const { stopWithinMs = 10_000 } = json
  return { name, command, environment, directory, uid: user, gid: group, once, stopWithinMs }
}

/** The same as a file. */
export function encodePrograms({ programs, volumes }: Programs): Uint8Array {
  const services = programs.map(({ uid: user, gid: group, ...program }) => ({ ...program, user, group }))
  return utf8(`${JSON.stringify({ schema: 'reprise/services/v1', services, volumes }, undefined, 2)}\n`)
}
