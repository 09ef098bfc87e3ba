/** Files and folders that this user may not read; tests that run as root ask as nobody. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { folderForTest, MODULE, put, removeFolders } from './testing.ts'

afterAll(removeFolders)

const SCAN = new URL('./scan.ts', import.meta.url).href
const STORE = new URL('../blobs/store.ts', import.meta.url).href

async function asNobody(source: string, folder: string): Promise<unknown> {
  const user = process.getuid?.() === 0 ? { gid: 65_534, uid: 65_534 } : {}
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, '--', folder], {
    ...user,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  await once(child, 'close')
  return JSON.parse(text)
}

async function openFolder(): Promise<string> {
  const folder = await put(await folderForTest(), { 'p.wasm': MODULE })
  await chmod(folder, 0o777)
  return folder
}

describe('what may not be read is named', () => {
  test('a folder, before anything is copied', async () => {
    const folder = await openFolder()
    await mkdir(join(folder, 'sub/locked'), { recursive: true })
    await chmod(join(folder, 'sub/locked'), 0o000)
    const source = `
      import { scanFolder } from ${JSON.stringify(SCAN)}
      const [folder] = process.argv.slice(1)
      const error = await scanFolder({ folder, limits: { bytes: 1000, files: 10 }, never: [] }).catch((error) => error)
      console.log(JSON.stringify({ code: error.code, hint: error.hint, kind: error.kind, message: error.message }))`
    expect(await asNobody(source, folder)).toEqual({
      code: 'INPUT_UNREADABLE',
      hint: 'let this user read it, or name with --input only what the program reads',
      kind: 'input',
      message: `${join(folder, 'sub/locked')}: permission denied`,
    })
  })

  test('a file, and a home that may not be written', async () => {
    const folder = await openFolder()
    await writeFile(join(folder, 'secret'), '', { mode: 0o000 })
    await mkdir(join(folder, 'closed'), { mode: 0o500 })
    const source = `
      import { openBlobStore } from ${JSON.stringify(STORE)}
      const [folder] = process.argv.slice(1)
      const file = await (await openBlobStore(folder + '/home')).putFile(folder + '/secret').catch((error) => error)
      const home = await openBlobStore(folder + '/closed/home').catch((error) => error)
      console.log(JSON.stringify([file, home].map(({ code, message }) => ({ code, message }))))`
    expect(await asNobody(source, folder)).toEqual([
      { code: 'INPUT_UNREADABLE', message: `${join(folder, 'secret')}: permission denied` },
      {
        code: 'WRITE',
        message: `not allowed to write state (REPRISE_HOME says where it is kept) to ${join(folder, 'closed/home/blobs/sha256')}`,
      },
    ])
  })
})
