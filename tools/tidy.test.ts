import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  browserRoomsKnowNoNode,
  filesAreShort,
  importsGoDown,
  importsOf,
  lockfileNamesNoRegistry,
  manifestsAgree,
  manifestsListImports,
  mergesAreDone,
  nothingOfTheWorkplace,
  tables,
  vectorsHaveReadmes,
  type TextFile,
} from './tidy.ts'

const root = resolve(import.meta.dirname, '..')
const TEXT_BYTES_MAX = 1 << 20

/** All files that git tracks or would track, except those that are being deleted. */
function projectPaths(): string[] {
  // Continuous integration may run as another user than the one who cloned.
  const git = ['-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const list = execFileSync('git', git, { cwd: root })
  return list
    .toString()
    .split('\0')
    .filter((path) => path !== '' && statSync(join(root, path), { throwIfNoEntry: false })?.isFile())
}

function textOf(path: string): TextFile[] {
  const bytes = readFileSync(join(root, path))
  return bytes.length > TEXT_BYTES_MAX || bytes.includes(0) ? [] : [{ path, text: bytes.toString() }]
}

const paths = projectPaths()
const files = paths.flatMap(textOf)
// Vectors are evidence from elsewhere: they may hold the paths of the machines that they came from.
const ownWords = files.filter(({ path }) => !/^vectors\/.*(?<!README\.md)$/.test(path) && path !== 'package-lock.json')

describe('the house', () => {
  test.each([
    ['every package.json lists exactly what its sources import', manifestsListImports(files)],
    ['imports go down the floors', importsGoDown(files)],
    ['core and wasm know no Node', browserRoomsKnowNoNode(files)],
    ['no file is longer than can be read', filesAreShort(files)],
    ['nothing names the workplace or a path on one machine', nothingOfTheWorkplace(ownWords)],
    ['no merge is half done', mergesAreDone(files)],
    ['the lockfile names no registry', lockfileNamesNoRegistry(files)],
    ['versions are exact and the same in all rooms, under one licence', manifestsAgree(files)],
    ['every vector says where it came from', vectorsHaveReadmes(paths)],
  ])('%s', (_claim, violations) => {
    expect(violations).toEqual([])
  })

  test('the licence is there', () => {
    expect(readFileSync(join(root, 'LICENSE'), 'utf8')).toContain('Apache License')
  })

  test('every file that may be long still exists', () => {
    expect([...tables.keys()].filter((path) => !paths.includes(path))).toEqual([])
  })

  test('core and wasm compile without the types of Node', () => {
    for (const room of ['core', 'wasm']) {
      expect(readFileSync(join(root, `packages/${room}/tsconfig.json`), 'utf8')).toContain('"types": []')
    }
  })
})

const core = (text: string, path = 'packages/core/src/sample.ts'): TextFile => ({ path, text })
const manifest = (path: string, more: object): TextFile => ({
  path,
  text: JSON.stringify({ name: 'x', version: '1.0.0', license: 'Apache-2.0', ...more }),
})

describe('a rule that cannot fail is no rule', () => {
  test('imports are found in all their spellings', () => {
    const text = `import type { A } from './a.ts'
export * from 'b'
const c = await import('c/x')
type D = import('d').D
new URL(import.meta.url.endsWith('.ts') ? './e.worker.ts' : './e.worker.js', import.meta.url)
import.meta.resolve('f')
createRequire(import.meta.url).resolve('g')`
    expect(importsOf(core(text))).toEqual([
      { specifier: './a.ts', line: 1 },
      { specifier: 'b', line: 2 },
      { specifier: 'c/x', line: 3 },
      { specifier: 'd', line: 4 },
      { specifier: './e.worker.ts', line: 5 },
      { specifier: './e.worker.js', line: 5 },
      { specifier: 'f', line: 6 },
      { specifier: 'g', line: 7 },
    ])
  })

  test('an import that is not listed, and a listed one that is not imported', () => {
    const listed = manifest('packages/core/package.json', { dependencies: { unused: '1.0.0' } })
    expect(manifestsListImports([listed, core("import 'left-pad/x'\nimport 'fs'")])).toEqual([
      'packages/core/src/sample.ts:1: imports left-pad/x: packages/core/package.json does not list it',
      'packages/core/src/sample.ts:2: imports fs: write node:fs',
      'packages/core/package.json:1: lists unused, which no source imports',
    ])
  })

  test('a test may use the tools of the root, which do not count as imports of the sources', () => {
    const tools = manifest('package.json', { devDependencies: { vitest: '1.0.0' } })
    const listed = manifest('packages/core/package.json', { dependencies: { vitest: '1.0.0' } })
    const sample = core("import 'vitest'", 'packages/core/src/sample.test.ts')
    expect(manifestsListImports([tools, manifest('packages/core/package.json', {}), sample])).toEqual([])
    expect(manifestsListImports([tools, listed, sample])).toHaveLength(1)
  })

  test('an import that goes up, sideways, or round the back', () => {
    expect(importsGoDown([core("import '@reprise/wasm'\nimport '../../wasm/src/x.ts'")])).toEqual([
      'packages/core/src/sample.ts:1: core imports @reprise/wasm, which is not below it',
      'packages/core/src/sample.ts:2: ../../wasm/src/x.ts leaves packages/core',
    ])
    expect(importsGoDown([core("import '@reprise/wasm'", 'packages/tpm/src/x.ts')])).toHaveLength(1)
    expect(importsGoDown([core("import '@reprise/core'", 'packages/tpm/src/x.ts')])).toEqual([])
    expect(importsGoDown([core('', 'packages/attic/src/x.ts')])).toHaveLength(1)
    const vector = "new URL('../../../vectors/quote/', import.meta.url)"
    expect(importsGoDown([core(vector)])).toHaveLength(1)
    expect(importsGoDown([core(vector, 'packages/core/src/x.test.ts')])).toEqual([])
  })

  test('Node in a room that the browser runs', () => {
    const text = "import 'node:fs'\nBuffer.from('')\nglobalThis.process.exit()\nstate.process = { process: 1 }"
    expect(browserRoomsKnowNoNode([core(text)])).toEqual([
      'packages/core/src/sample.ts:1: imports node:fs',
      "packages/core/src/sample.ts:2: uses Node's Buffer",
      "packages/core/src/sample.ts:3: uses Node's process",
    ])
    expect(browserRoomsKnowNoNode([core(text, 'packages/core/src/sample.test.ts')])).toEqual([])
  })

  test('a file of 401 lines that is no table', () => {
    const long = core('\n'.repeat(401))
    expect(filesAreShort([long])).toEqual(['packages/core/src/sample.ts:400: goes on after 400 lines; split it'])
    expect(filesAreShort([long], new Map([[long.path, 'a table']]))).toEqual([])
    expect(filesAreShort([core('\n'.repeat(400))])).toEqual([])
  })

  test.each(['work/main', 'root/.npmrc', 'home/someone/x', 'tmp/lab/x', 'Users/me/x'])('the path /%s', (path) => {
    expect(nothingOfTheWorkplace([core(`x\nread('/${path}')`)])).toHaveLength(1)
  })

  test('a word of the workplace', () => {
    expect(nothingOfTheWorkplace([core('// see the f\u0061cts page')])).toHaveLength(1)
    expect(nothingOfTheWorkplace([core("'framework/main', '/home/user/x', Object.prototype")])).toEqual([])
  })

  test('what a merge leaves', () => {
    const text = `# A page\n${'<'.repeat(7)} HEAD\nour line\n=======\ntheirs\n${'>'.repeat(7)} branch\n`
    expect(mergesAreDone([{ path: 'docs/page.md', text }])).toHaveLength(2)
  })

  test('a registry in the lockfile', () => {
    const text = '{\n  "resolved": "https://registry.example/x.tgz"'
    expect(lockfileNamesNoRegistry([{ path: 'package-lock.json', text }])).toHaveLength(1)
  })

  test('a version range, another version, another licence', () => {
    const rootManifest = manifest('package.json', { devDependencies: { a: '^1.0.0' } })
    const other = manifest('packages/core/package.json', { version: '2.0.0', license: 'MIT' })
    expect(manifestsAgree([rootManifest, other])).toEqual([
      'package.json:1: a ^1.0.0 is not an exact version',
      "packages/core/package.json:1: version 2.0.0 is not the root's",
      'packages/core/package.json:1: the licence is not Apache-2.0',
    ])
  })

  test('a vector without a README', () => {
    const told = ['vectors/README.md', 'vectors/quote/a/README.md', 'vectors/quote/a/raw/input.bin']
    expect(vectorsHaveReadmes(told)).toEqual([])
    expect(vectorsHaveReadmes([...told, 'vectors/quote/b/input.bin'])).toEqual([
      'vectors/quote/b/README.md:1: is missing',
    ])
  })

  test('what the linter is trusted with', () => {
    const folder = mkdtempSync(join(tmpdir(), 'reprise-lint-'))
    const text = `export default function f(x: any) { return x == 1 }
async function g(): Promise<void> {}
export function h() { g(); ${'\n0'.repeat(81)} }`
    writeFileSync(join(folder, 'sample.ts'), text)
    const lint = spawnSync(join(root, 'node_modules/.bin/oxlint'), ['-c', '.oxlintrc.json', '-f', 'unix', folder], {
      cwd: root,
      encoding: 'utf8',
    })
    rmSync(folder, { recursive: true })
    for (const rule of ['no-default-export', 'no-explicit-any', 'no-floating-promises', 'max-lines-per-function']) {
      expect(lint.stdout).toContain(rule)
    }
    expect(lint.status).toBe(1)
  })
})
