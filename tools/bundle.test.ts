import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bundle, entryPoints } from './bundle.ts'

const main = `import { Worker } from 'node:worker_threads'
import { workerUrl } from '../../tpm/src/deep/start.ts'
new Worker(workerUrl()).on('message', (text) => console.log(text))`
const start = `export const workerUrl = (): URL =>
  new URL(import.meta.url.endsWith('.ts') ? './echo.worker.ts' : './echo.worker.js', import.meta.url)`
const worker = `import { parentPort } from 'node:worker_threads'
import { workerUrl } from './start.ts'
parentPort?.postMessage('from ' + workerUrl().pathname.split('/').at(-1))`

describe('bundle', () => {
  let root: string
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'reprise-bundle-'))
    write('package.json', '{ "type": "module" }')
    write('packages/cli/src/main.ts', main)
    write('packages/tpm/src/deep/start.ts', start)
    write('packages/tpm/src/deep/echo.worker.ts', worker)
  })
  afterEach(() => rmSync(root, { recursive: true }))

  test('starts the same worker from source and from the bundle', async () => {
    await bundle(root, join(root, 'dist'))
    const run = (path: string): string => execFileSync(process.execPath, [join(root, path)], { encoding: 'utf8' })
    expect(run('packages/cli/src/main.ts')).toBe('from echo.worker.ts\n')
    expect(run('dist/reprise.cjs')).toBe('from echo.worker.js\n')
  })

  test('leaves an older build in place, and nothing unfinished', async () => {
    await bundle(root, join(root, 'dist'))
    await bundle(root, join(root, 'dist'))
    expect(readdirSync(join(root, 'dist'))).toHaveLength(2)
    write('packages/cli/src/main.ts', "console.log('other')")
    await bundle(root, join(root, 'dist'))
    expect(globSync('dist/build-*/echo.worker.js', { cwd: root })).toHaveLength(2)
    expect(readdirSync(join(root, 'dist'))).toHaveLength(3)
  })

  test('a source that does not build leaves the last build standing', async () => {
    await bundle(root, join(root, 'dist'))
    write('packages/cli/src/main.ts', "import './nowhere.ts'")
    await expect(bundle(root, join(root, 'dist'))).rejects.toThrow('nowhere')
    expect(readdirSync(join(root, 'dist'))).toHaveLength(2)
  })

  test('refuses two workers of one name', () => {
    write('packages/wasm/src/echo.worker.ts', worker)
    expect(() => entryPoints(root)).toThrow('would both become echo.worker.js')
  })
})
