/** What an installed runtime is made of; its SHA-256 is the runtime's id. Format: spec/runtime.md §2.2. */
import { canonical, decodeBlobRef, hex, parseCanonicalBytes, shape, utf8, type BlobRef } from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'

const { absolutePath, cString, digest, fields, integer, label, list, nullable, oneOf, text } = shape

export const RUNTIME_MANIFEST_BYTES_MAX = 1 << 20
export const MODULE_BYTES_MAX = 1 << 28
/** Of a library or of licences, packed. */
export const ARCHIVE_BYTES_MAX = 1 << 30
const LABEL_BYTES_MAX = 1024
const LIST_MAX = 64
const FILES_MAX = 16

/** How a computation uses a runtime: spec/runtime.md §3. */
export interface RuntimeUse {
  readonly arguments: readonly string[]
  /** Values may name places below `libraryAt`. */
  readonly environment: Readonly<Record<string, string>>
  readonly libraryAt: string
  readonly takes: 'script' | 'arguments'
  readonly missing: readonly string[]
  /** A bootstrap of this version of Reprise, or null: it has none. */
  readonly warm: string | null
}

export interface SourceFile {
  readonly name: string
  readonly sha256: string
  readonly bytes: number
}

export interface SourcePackage {
  readonly package: string
  readonly version: string
  readonly files: readonly SourceFile[]
}

export interface Tool {
  readonly package: string
  readonly version: string
}

export interface RuntimeManifest {
  readonly schema: 'reprise/runtime/v1'
  readonly name: string
  readonly version: string
  readonly title: string
  /** Digest of the recipe. */
  readonly recipe: string
  /** Id of the runtime that it was built on. */
  readonly base: string | null
  readonly components: readonly string[]
  readonly sources: readonly SourcePackage[]
  readonly toolchain: readonly Tool[]
  readonly run: RuntimeUse
  readonly module: BlobRef
  readonly library: BlobRef | null
  readonly licences: BlobRef
}

const FIELDS = [
  ...['schema', 'name', 'version', 'title', 'recipe', 'base', 'components', 'sources', 'toolchain', 'run'],
  ...['module', 'library', 'licences'],
] as const

export function encodeRuntimeManifest(manifest: RuntimeManifest): Uint8Array {
  return utf8(canonical(manifest))
}

export function runtimeId(manifest: Uint8Array): string {
  return hex(nodeCrypto.sha256(manifest))
}

/** @throws EvidenceError `LIMIT`, `STRUCTURE`, naming the field. */
export function decodeRuntimeManifest(bytes: Uint8Array): RuntimeManifest {
  const what = 'manifest'
  const value = fields(parseCanonicalBytes(bytes, RUNTIME_MANIFEST_BYTES_MAX, what), what, FIELDS)
  const at = (name: (typeof FIELDS)[number]): [unknown, string] => [value[name], `${what}.${name}`]
  const blob = (name: (typeof FIELDS)[number]): BlobRef => decodeBlobRef(...at(name))
  return {
    schema: shape.exactly(...at('schema'), 'reprise/runtime/v1'),
    name: runtimeName(...at('name')),
    version: label(...at('version'), LABEL_BYTES_MAX),
    title: label(...at('title'), LABEL_BYTES_MAX),
    recipe: digest(...at('recipe')),
    base: nullable(...at('base'), digest),
    components: list(...at('components'), LIST_MAX, runtimeName),
    sources: list(...at('sources'), LIST_MAX, sourcePackage),
    toolchain: list(...at('toolchain'), LIST_MAX, tool),
    run: decodeUse(...at('run')),
    module: limited(blob('module'), MODULE_BYTES_MAX, 'module'),
    library: value['library'] === null ? null : limited(blob('library'), ARCHIVE_BYTES_MAX, 'library'),
    licences: limited(blob('licences'), ARCHIVE_BYTES_MAX, 'licences'),
  }
}

function limited(blob: BlobRef, bytesMax: number, name: string): BlobRef {
  if (blob.lengthBytes > bytesMax) throw shape.tooLarge(`manifest.${name}`, `has more than ${bytesMax} bytes`)
  return blob
}

/** Of a runtime, a recipe or a component. */
export function runtimeName(value: unknown, path: string): string {
  if (typeof value !== 'string' || !/^[a-z][a-z0-9-]{0,31}$/.test(value))
    throw shape.wrong(path, 'is not a name of lower-case letters, digits and -')
  return value
}

export function sourcePackage(value: unknown, path: string): SourcePackage {
  const found = fields(value, path, ['package', 'version', 'files'])
  return {
    package: debianName(found.package, `${path}.package`),
    version: label(found.version, `${path}.version`, LABEL_BYTES_MAX),
    files: list(found.files, `${path}.files`, FILES_MAX, (file, at) => {
      const { name, sha256, bytes } = fields(file, at, ['name', 'sha256', 'bytes'])
      if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}$/.test(name))
        throw shape.wrong(`${at}.name`, 'is not the name of a file')
      return {
        name,
        sha256: digest(sha256, `${at}.sha256`),
        bytes: integer(bytes, `${at}.bytes`, { min: 1, max: ARCHIVE_BYTES_MAX }),
      }
    }),
  }
}

export function debianName(value: unknown, path: string): string {
  if (typeof value !== 'string' || !/^[a-z0-9][a-z0-9.+-]{1,99}$/.test(value))
    throw shape.wrong(path, 'is not the name of a Debian package')
  return value
}

export function tool(value: unknown, path: string): Tool {
  const found = fields(value, path, ['package', 'version'])
  return {
    package: debianName(found.package, `${path}.package`),
    version: label(found.version, `${path}.version`, LABEL_BYTES_MAX),
  }
}

export function decodeUse(value: unknown, path: string): RuntimeUse {
  const names = ['arguments', 'environment', 'libraryAt', 'takes', 'missing', 'warm'] as const
  const found = fields(value, path, names)
  if (!shape.isObject(found.environment)) throw shape.wrong(`${path}.environment`, 'is not an object')
  const variables = list(Object.entries(found.environment), `${path}.environment`, LIST_MAX, (pair, at) => {
    const [name, given] = pair as [string, unknown]
    if (!/^[A-Z][A-Z0-9_]*$/.test(name)) throw shape.wrong(`${at}.${name}`, 'is not the name of a variable')
    return [name, cString(given, `${at}.${name}`, LABEL_BYTES_MAX)] as const
  })
  return {
    arguments: list(found.arguments, `${path}.arguments`, LIST_MAX, (each, at) => cString(each, at, LABEL_BYTES_MAX)),
    environment: Object.fromEntries(variables),
    libraryAt: absolutePath(found.libraryAt, `${path}.libraryAt`, LABEL_BYTES_MAX),
    takes: oneOf(found.takes, `${path}.takes`, ['script', 'arguments']),
    missing: list(found.missing, `${path}.missing`, LIST_MAX, (each, at) => label(each, at, LABEL_BYTES_MAX)),
    warm: nullable(found.warm, `${path}.warm`, (each, at) => text(each, at, LABEL_BYTES_MAX)),
  }
}
