/**
 * The rules of the house that no compiler and no linter holds, as pure functions over files.
 *
 * A rule takes files and answers with violations as `path:line: what is wrong`; none is a tidy house.
 * Truth: docs/architecture.md (floors). `tidy.test.ts` applies them, and shows each one a violation.
 */

import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import { parseSync, Visitor } from 'rolldown/utils'

/** A text file; the path is relative to the repository's root, with forward slashes. */
export interface TextFile {
  readonly path: string
  readonly text: string
}

export type Violation = string

interface Import {
  readonly specifier: string
  readonly line: number
}

/** Imports go down, never up and never sideways on one floor. */
const floors: Readonly<Record<string, number>> = {
  core: 1,
  wasm: 2,
  process: 2,
  vm: 2,
  tpm: 2,
  host: 3,
  runner: 4,
  recovery: 4,
  fleet: 5,
  cli: 6,
  web: 6,
}

/** What the browser runs too. */
const roomsWithoutNode = ['core', 'wasm']

const nodeGlobals = new Set(['Buffer', 'process', 'require', 'setImmediate', 'clearImmediate', '__dirname'])

const LINES_MAX = 400

/** Files that may be longer, each with its reason: tables of constants, which nobody reads top to bottom. */
export const tables: ReadonlyMap<string, string> = new Map()

const isSource = (path: string): boolean => /\.(ts|tsx)$/.test(path)
const isTest = (path: string): boolean => path.endsWith('.test.ts')
const roomOf = (path: string): string | undefined => /^packages\/([^/]+)\//.exec(path)?.[1]
const lineAt = (text: string, offset: number): number => text.slice(0, offset).split('\n').length
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

/** Every module that a source names: imports, re-exports, `import()`, import types, `new URL(…, import.meta.url)`, `resolve`, `findPackageJSON`. */
export function importsOf(file: TextFile): Import[] {
  const { program, module } = parseSync(file.path, file.text)
  const found: { specifier: string; start: number }[] = []
  const add = (node: { type: string; start: number } | undefined | null): void => {
    if (node?.type === 'Literal' && 'value' in node && typeof node.value === 'string') {
      found.push({ specifier: node.value, start: node.start })
    } else if (node?.type === 'ConditionalExpression' && 'consequent' in node && 'alternate' in node) {
      add(node.consequent as typeof undefined)
      add(node.alternate as typeof undefined)
    }
  }
  for (const { moduleRequest } of module.staticImports) {
    found.push({ specifier: moduleRequest.value, start: moduleRequest.start })
  }
  for (const { moduleRequest } of module.staticExports.flatMap((statement) => statement.entries)) {
    if (moduleRequest) found.push({ specifier: moduleRequest.value, start: moduleRequest.start })
  }
  new Visitor({
    ImportExpression: (node) => add(node.source),
    TSImportType: (node) => add(node.source),
    NewExpression: (node) => {
      const [path, base] = node.arguments
      if (base && file.text.slice(base.start, base.end) === 'import.meta.url') add(path)
    },
    CallExpression: (node) => {
      const callee = file.text.slice(node.callee.start, node.callee.end)
      if (/(^|\.)require$|^import\.meta\.resolve$|[rR]equire(\(.*\))?\.resolve$|^findPackageJSON$/.test(callee))
        add(node.arguments[0])
    },
  }).visit(program)
  return found.map(({ specifier, start }) => ({ specifier, line: lineAt(file.text, start) }))
}

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const manifestsOf = (files: readonly TextFile[]): { path: string; manifest: Manifest }[] =>
  files
    .filter(({ path }) => /^(packages\/[^/]+\/)?package\.json$/.test(path))
    .map(({ path, text }) => ({ path, manifest: JSON.parse(text) as Manifest }))

/** A package.json lists exactly what the package's sources import. Its tests may use the root's tools besides. */
export function manifestsListImports(files: readonly TextFile[]): Violation[] {
  const violations: Violation[] = []
  const manifests = manifestsOf(files)
  const rootTools = Object.keys(manifests.find(({ path }) => path === 'package.json')?.manifest.devDependencies ?? {})
  for (const { path: manifestPath, manifest } of manifests) {
    const room = roomOf(manifestPath)
    if (room === undefined) continue
    const listed = new Set(Object.keys(manifest.dependencies ?? {}))
    const unused = new Set(listed)
    for (const file of files.filter(({ path }) => isSource(path) && roomOf(path) === room)) {
      for (const { specifier, line } of importsOf(file)) {
        if (/^(\.|node:|file:|data:)/.test(specifier)) continue
        const name = packageOf(specifier)
        if (!isTest(file.path)) unused.delete(name)
        if (listed.has(name) || (isTest(file.path) && rootTools.includes(name))) continue
        const hint = isBuiltin(name) ? `write node:${specifier}` : `${manifestPath} does not list it`
        violations.push(`${file.path}:${line}: imports ${specifier}: ${hint}`)
      }
    }
    for (const name of unused) violations.push(`${manifestPath}:1: lists ${name}, which no source imports`)
  }
  return violations
}

/** Between rooms imports go down, by package name; a relative path stays in its room, but tests read vectors. */
export function importsGoDown(files: readonly TextFile[]): Violation[] {
  const violations: Violation[] = []
  for (const file of files.filter(({ path }) => isSource(path) && roomOf(path) !== undefined)) {
    const room = roomOf(file.path) as string
    const floor = floors[room]
    if (floor === undefined) violations.push(`${file.path}:1: packages/${room} has no floor in tools/tidy.ts`)
    for (const { specifier, line } of importsOf(file)) {
      const other = /^@reprise\/([^/]+)/.exec(specifier)?.[1]
      if (other !== undefined && !((floors[other] ?? Infinity) < (floor ?? 0))) {
        violations.push(`${file.path}:${line}: ${room} imports ${specifier}, which is not below it`)
      }
      const target = posix.join(posix.dirname(file.path), specifier)
      const isVector = isTest(file.path) && target.startsWith('vectors/')
      if (specifier.startsWith('.') && !isVector && !target.startsWith(`packages/${room}/`)) {
        violations.push(`${file.path}:${line}: ${specifier} leaves packages/${room}`)
      }
    }
  }
  return violations
}

/** What the browser runs too imports no `node:` module and uses no global of Node's. */
export function browserRoomsKnowNoNode(files: readonly TextFile[]): Violation[] {
  const rooms = files.filter(
    ({ path }) => isSource(path) && !isTest(path) && roomsWithoutNode.includes(roomOf(path) ?? ''),
  )
  return rooms.flatMap((file) => {
    const violations = importsOf(file)
      .filter(({ specifier }) => isBuiltin(specifier))
      .map(({ specifier, line }) => `${file.path}:${line}: imports ${specifier}`)
    const names = new Set<number>() // Offsets of property names: `state.process` is nobody's global.
    const nameOf = (node: { computed: boolean; key: { start: number } }): void => {
      if (!node.computed) names.add(node.key.start)
    }
    new Visitor({
      Property: (node) => node.shorthand || nameOf(node),
      MethodDefinition: nameOf,
      PropertyDefinition: nameOf,
      TSPropertySignature: nameOf,
      TSMethodSignature: nameOf,
      MemberExpression: (node) => {
        const isGlobal = file.text.slice(node.object.start, node.object.end) === 'globalThis'
        if (!node.computed && !isGlobal) names.add(node.property.start)
      },
      Identifier: (node) => {
        if (!nodeGlobals.has(node.name) || names.has(node.start)) return
        violations.push(`${file.path}:${lineAt(file.text, node.start)}: uses Node's ${node.name}`)
      },
    }).visit(parseSync(file.path, file.text).program)
    return violations
  })
}

/** A file can be read top to bottom. */
export function filesAreShort(files: readonly TextFile[], longer: ReadonlyMap<string, string> = tables): Violation[] {
  return files
    .filter(({ path, text }) => isSource(path) && !longer.has(path) && text.split('\n').length - 1 > LINES_MAX)
    .map(({ path }) => `${path}:${LINES_MAX}: goes on after ${LINES_MAX} lines; split it`)
}

/** Nothing in the project knows the machine that it was written on. (Spelt so that this file passes too.) */
const machinePaths = [
  /(?<![\w.])\/(?:[w]ork|[t]mp\/lab)\/[\w.]/,
  /(?<![\w.])\/(?:[h]ome|[U]sers)\/(?!user\b|reader\b|guest\b|alice\b)[a-z]\w*\//,
  /(?<![\w.])\/[r]oot\/[\w.]/,
  /\b[C]:\\Users\\/,
]
const workplaceWords = [/\b[f]acts (page|sheet)s?\b/i, /\b[f]acts\/\w+\.md\b/, /\b[f]irst light\b/i, /\bprototypes\/\w/]

export function nothingOfTheWorkplace(files: readonly TextFile[]): Violation[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) =>
      [...machinePaths, ...workplaceWords]
        .map((pattern) => pattern.exec(line)?.[0])
        .filter((match) => match !== undefined)
        .map((match) => `${path}:${index + 1}: ${match} means nothing outside the place it was written at`),
    ),
  )
}

/** The lockfile names no registry: npm asks the one that the reader has configured. */
export function lockfileNamesNoRegistry(files: readonly TextFile[]): Violation[] {
  return files
    .filter(({ path }) => path === 'package-lock.json')
    .flatMap(({ path, text }) =>
      text
        .split('\n')
        .flatMap((line, index) => (/"resolved": "http/.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
    )
}

/** Prose compiles whatever a merge left in it. */
export function mergesAreDone(files: readonly TextFile[]): Violation[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => (/^(<{7}|>{7}) /.test(line) ? [`${path}:${index + 1}: ${line}`] : [])),
  )
}

/** Versions are exact, all rooms carry the root's version and licence. */
export function manifestsAgree(files: readonly TextFile[]): Violation[] {
  const manifests = manifestsOf(files)
  const root = manifests.find(({ path }) => path === 'package.json')?.manifest
  return manifests.flatMap(({ path, manifest }) => {
    const ranges = Object.entries({
      ...manifest.dependencies,
      ...manifest.devDependencies,
      ...manifest.optionalDependencies,
    })
    const violations = ranges
      .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
      .map(([name, version]) => `${path}:1: ${name} ${version} is not an exact version`)
    if (manifest.version !== root?.version) violations.push(`${path}:1: version ${manifest.version} is not the root's`)
    if (manifest.license !== 'Apache-2.0') violations.push(`${path}:1: the licence is not Apache-2.0`)
    return violations
  })
}

/** Every vector says why it is there and where its bytes came from: a README.md in its folder or in one above. */
export function vectorsHaveReadmes(paths: readonly string[]): Violation[] {
  const vectors = paths.filter((path) => path.startsWith('vectors/'))
  const told = new Set(vectors.filter((path) => path.endsWith('/README.md')).map(posix.dirname))
  const isTold = (folder: string): boolean =>
    folder !== 'vectors' && folder !== '.' && (told.has(folder) || isTold(posix.dirname(folder)))
  const folders = new Set(vectors.filter((path) => path !== 'vectors/README.md').map(posix.dirname))
  return [...folders].filter((folder) => !isTold(folder)).map((folder) => `${folder}/README.md:1: is missing`)
}
