import { appendFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { followedRuns, noteOutputs } from './index.ts'
import { OUTPUT_INDEX_BYTES_MAX, OUTPUTS_NOTED_MAX } from './output-index.ts'

async function homeForTest(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'reprise-index-'))
  onTestFinished(() => rm(folder, { force: true, recursive: true }))
  return folder
}
const digest = (number: number): string => number.toString(16).padStart(64, '0')
const run = (number: number): string => number.toString(16).padStart(64, 'a')
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

describe('the index of outputs', () => {
  test('names the runs that wrote the inputs, the newest of several, each once', async () => {
    const home = await homeForTest()
    await noteOutputs(home, run(1), [digest(1), digest(2)])
    await noteOutputs(home, run(2), [digest(2), digest(3)])
    expect(await followedRuns(home, [digest(1), digest(2), digest(3), digest(9)])).toEqual([run(1), run(2)])
    expect(await followedRuns(home, [digest(2)])).toEqual([run(2)])
    expect(await followedRuns(home, [])).toEqual([])
  })

  test('knows nothing in a new home, and of empty files', async () => {
    const home = await homeForTest()
    expect(await followedRuns(home, [digest(1)])).toEqual([])
    await noteOutputs(home, run(1), [EMPTY])
    expect(await followedRuns(home, [EMPTY])).toEqual([])
  })

  test('loses only the line that a crash tore', async () => {
    const home = await homeForTest()
    await noteOutputs(home, run(1), [digest(1)])
    const path = join(home, 'runs', 'outputs.jsonl')
    await appendFile(path, '{"outputs":["')
    await noteOutputs(home, run(2), [digest(2)])
    expect(await followedRuns(home, [digest(1), digest(2)])).toEqual([run(1), run(2)])
    for (const wrong of ['null', '{}', '{"run":7,"outputs":[]}', '[]', '"']) await appendFile(path, `${wrong}\n`)
    expect(await followedRuns(home, [digest(1), digest(2)])).toEqual([run(1), run(2)])
  })

  test('does not grow beyond its limit and keeps the newest', async () => {
    const home = await homeForTest()
    const digests = Array.from({ length: OUTPUTS_NOTED_MAX + 5 }, (_, index) => digest(index + 1))
    for (let number = 1; number <= 16; number++)
      await noteOutputs(home, run(number), [digest(1e6 + number), ...digests])
    const path = join(home, 'runs', 'outputs.jsonl')
    expect((await stat(path)).size).toBeLessThan(OUTPUT_INDEX_BYTES_MAX)
    expect((await readFile(path, 'utf8')).startsWith('{"outputs"')).toBe(true)
    expect(await followedRuns(home, [digest(1e6 + 16), digest(1e6 + 1)])).toEqual([run(16)])
  })
})
