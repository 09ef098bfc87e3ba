import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
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

  test('text of any kind is the same from source and from the bundle, whose files are ASCII', async () => {
    const text = `const name: string = 'naïve — 𝔘'
const tagged = (parts: TemplateStringsArray, ...values: unknown[]): string => parts.join('|') + values.join()
/** «Ünïcode» in a comment */
console.log(JSON.stringify({ name, 'größe': \`\${name}…\n\\u00e9\`, tagged: tagged\`é\${1}ü\` }))
console.log(/^[\u{1d518}𝔙—ï]+$/u.test('𝔙—ï𝔘'), /[ä-ü]/.exec('xöx')?.index, 'e\u0301'.length)`
    write('packages/cli/src/main.ts', text)
    const build = await bundle(root, join(root, 'dist'))
    for (const name of readdirSync(build).filter((each) => each.endsWith('.js')))
      expect(readFileSync(join(build, name), 'latin1')).toMatch(/^[\0-\x7f]*$/)
    const run = (path: string): string => execFileSync(process.execPath, [join(root, path)], { encoding: 'utf8' })
    expect(run('packages/cli/src/main.ts')).toContain('naïve — 𝔘')
    expect(run('dist/reprise.cjs')).toBe(run('packages/cli/src/main.ts'))
  })

  test("of the project's own files none is loaded by one that it loads: what is shared is there before it is used", async () => {
    const build = await bundle(join(import.meta.dirname, '..'), join(root, 'dist'))
    const names = readdirSync(build).filter((name) => name.endsWith('.js'))
    const loads = new Map(
      names.map((name) => {
        // What is loaded at once stands at the beginning of a line; what is loaded later does not.
        const at = readFileSync(join(build, name), 'utf8').matchAll(/^(?:const [\w$]+ = )?require\("\.\/([^"]+)"\)/gm)
        return [name, [...at].map(([, other]) => other)] as const
      }),
    )
    expect([...loads.values()].flat().length).toBeGreaterThan(names.length / 2)
    const around = (name: string, path: readonly string[]): readonly string[] => {
      if (path.includes(name)) return [...path, name]
      return (
        (loads.get(name) ?? []).map((next) => around(next, [...path, name])).find((found) => found.length > 0) ?? []
      )
    }
    for (const name of names) expect(around(name, [])).toEqual([])
    // Before it begins, nothing is loaded that takes as long as a thread does.
    const first = names.filter((name) =>
      /^function startEngineThreadEarly\(/m.test(readFileSync(join(build, name), 'utf8')),
    )
    expect(first).toHaveLength(1)
    const [, bits] = /^const SMALL_BYTES = 1 << (\d+)$/m.exec(readFileSync(join(build, 'load.js'), 'utf8')) ?? []
    expect(statSync(join(build, first[0])).size).toBeLessThanOrEqual(2 ** Number(bits))
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

  describe('the compiled form of what a command loads', () => {
    // Larger than what is compiled as fast as it is found.
    const second = `export const long = '${'x'.repeat(1 << 14)}'
      export const say = (): void => console.log('said by the second file')`
    const withSecond = "void import('./second.ts').then(({ long, say }) => long && say())"
    const run = (command: string): string =>
      execFileSync(process.execPath, [join(root, 'dist/reprise.cjs'), command], { encoding: 'utf8' })
    const kept = (): string[] => globSync('dist/build-*/compiled/*', { cwd: root })

    beforeEach(async () => {
      write('packages/cli/src/main.ts', withSecond)
      write('packages/cli/src/second.ts', second)
      await bundle(root, join(root, 'dist'))
    })

    test('is kept for each command, and used again', () => {
      expect(run('one')).toBe('said by the second file\n')
      expect(kept()).toHaveLength(1)
      const { mtimeMs } = statSync(join(root, kept()[0]))
      expect(run('one')).toBe('said by the second file\n')
      expect(statSync(join(root, kept()[0])).mtimeMs).toBe(mtimeMs)
      run('two')
      expect(kept()).toHaveLength(2)
    })

    const filesOf = (path: string): string[] => {
      const bytes = readFileSync(join(root, path))
      const { files } = JSON.parse(bytes.toString('utf8', 8, 8 + bytes.readUInt32BE(4))) as { files: object }
      return Object.keys(files)
    }

    test('is that of a start: of a process that goes on, nothing that it loads late', async () => {
      write('packages/cli/src/third.ts', second.replace('say =', 'other ='))
      write('packages/cli/src/main.ts', `${withSecond}; setTimeout(() => void import('./third.ts'), 2200)`)
      await bundle(root, join(root, 'dist'))
      expect(run('one')).toBe('said by the second file\n')
      expect(filesOf(kept()[0])).toHaveLength(1)
    })

    test('is made again by the first that comes to a good end', async () => {
      write('packages/cli/src/main.ts', `${withSecond}; process.exitCode = Number(process.env.FAILS)`)
      await bundle(root, join(root, 'dist'))
      const go = (fails: string): void =>
        void execFileSync(process.execPath, [join(root, 'dist/reprise.cjs'), 'one'], {
          env: { ...process.env, FAILS: fails },
        })
      const times = (): bigint => statSync(join(root, kept()[0]), { bigint: true }).mtimeNs
      expect(() => go('1')).toThrow('Command failed')
      const failed = times()
      expect(() => go('1')).toThrow('Command failed')
      expect(times()).toBe(failed)
      go('0')
      const ended = times()
      expect(ended).toBeGreaterThan(failed)
      go('0')
      expect(() => go('1')).toThrow('Command failed')
      expect(times()).toBe(ended)
    })

    test('is not kept for a question, nor for what is no command', async () => {
      run('--version')
      write('packages/cli/src/main.ts', `process.exitCode = 2; ${withSecond}`)
      await bundle(root, join(root, 'dist'))
      expect(() => run('rnu')).toThrow('Command failed')
      expect(kept()).toEqual([])
    })

    test.each([
      ['is damaged', (bytes: Buffer) => bytes.fill(0, bytes.length >> 1)],
      ['is cut off', (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1)],
      ['is empty', () => Buffer.alloc(0)],
    ])('is made again when it %s', (_, damage) => {
      run('one')
      const path = join(root, kept()[0])
      const whole = readFileSync(path)
      writeFileSync(path, damage(Buffer.from(whole)))
      expect(run('one')).toBe('said by the second file\n')
      expect(readFileSync(path).length).toBe(whole.length)
    })

    test('is not taken for a file that has changed', () => {
      run('one')
      for (const file of globSync('dist/build-*/main-*.js', { cwd: root })) {
        const path = join(root, file)
        writeFileSync(path, readFileSync(path, 'utf8').replace('said by the second', 'told by the second'))
      }
      expect(run('one')).toBe('told by the second file\n')
    })

    test('is done without where nothing can be written', () => {
      writeFileSync(join(root, globSync('dist/build-*', { cwd: root })[0], 'compiled'), 'a file')
      expect(run('one')).toBe('said by the second file\n')
      expect(run('one')).toBe('said by the second file\n')
    })
  })

  test('refuses two workers of one name', () => {
    write('packages/wasm/src/echo.worker.ts', worker)
    expect(() => entryPoints(root)).toThrow('would both become echo.worker.js')
  })
})
