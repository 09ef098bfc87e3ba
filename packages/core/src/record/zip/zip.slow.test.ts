import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { concat } from '../../bytes/index.ts'
import { bytesSource, openZip, writeZip, type ZipInput } from './index.ts'

const folder = mkdtempSync(join(tmpdir(), 'reprise-zip-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function write(inputs: readonly ZipInput[]): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of writeZip(inputs)) parts.push(chunk)
  return concat(...parts)
}

const PYTHON_LIST = `
import json, sys, zipfile
def listed(path):
    with zipfile.ZipFile(path) as z:
        return [[i.filename, z.read(i).hex()] for i in z.infolist()]
print(json.dumps([listed(path) for path in sys.argv[1:]]))
`

/** Writes with zipfile what spec/record.md §1 asks for. zipfile clears the UTF-8 flag of ASCII names, so all are not. */
const PYTHON_WRITE = `
import json, sys, zipfile
for path, entries in zip(sys.argv[1:], json.load(sys.stdin)):
    with zipfile.ZipFile(path, 'w') as z:
        for name, content, method in entries:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = method, 3, 0x81a40000
            z.writestr(info, bytes.fromhex(content))
`

const entries = fc.uniqueArray(
  fc.tuple(fc.stringMatching(/^é[a-z/]{0,9}[a-z]$/), fc.uint8Array({ maxLength: 3000 }), fc.boolean()),
  { selector: ([name]) => name, minLength: 1, maxLength: 5 },
)

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('writeZip', () => {
  test('compresses an entry twice that is too large to keep', async () => {
    const piece = Buffer.from(randomBytes(1 << 20).toString('hex'))
    const content = Buffer.concat(Array.from({ length: 18 }, () => piece))
    const [entry] = await openZip(bytesSource(await write([{ name: 'a', method: 'smaller', open: () => [content] }])))
    expect(Buffer.compare(await entry.bytes(content.length), content)).toBe(0)
  })
})

/** Several at a time: a start of Python takes longer than all else here. */
const SAMPLES = 25
const paths = Array.from({ length: SAMPLES }, (_, i) => join(folder, `${i}.zip`))

describe('the container, against other implementations', () => {
  test("is read by Python's zipfile and by unzip as it was written", async () => {
    const seed = Math.trunc(Math.random() * 2 ** 31)
    const samples = fc.sample(entries, { seed, numRuns: SAMPLES })
    for (const [i, sample] of samples.entries()) {
      const inputs = sample.map(([name, content, all]): ZipInput => ({
        name,
        method: all ? 'deflated' : 'smaller',
        open: () => [content],
      }))
      writeFileSync(paths[i], await write(inputs))
      expect(execFileSync('unzip', ['-t', paths[i]], { encoding: 'utf8' }), `seed ${seed}`).toContain(
        'No errors detected',
      )
    }
    const listed = JSON.parse(execFileSync('python3', ['-c', PYTHON_LIST, ...paths], { encoding: 'utf8' })) as unknown
    expect(listed, `seed ${seed}`).toEqual(
      samples.map((sample) => sample.map(([name, content]) => [name, toHex(content)])),
    )
  })

  test("reads what Python's zipfile writes", async () => {
    const seed = Math.trunc(Math.random() * 2 ** 31)
    const samples = fc.sample(entries, { seed, numRuns: SAMPLES })
    const input = JSON.stringify(
      samples.map((sample) => sample.map(([name, content, all]) => [name, toHex(content), all ? 8 : 0])),
    )
    execFileSync('python3', ['-c', PYTHON_WRITE, ...paths], { input })
    for (const [i, sample] of samples.entries()) {
      const read = await openZip(bytesSource(readFileSync(paths[i])))
      const listed = await Promise.all(read.map(async (entry) => [entry.name, toHex(await entry.bytes(1 << 20))]))
      expect(listed, `seed ${seed}`).toEqual(sample.map(([name, content]) => [name, toHex(content)]))
    }
  })
})
