/**
 * npm run vectors: writes the cases of `test/record/cases/` to `vectors/record/`, and what the verifier tells of them to
 * `test/record/answers.jsonl`. Read the diff before committing it: a vector that changes is a format that changes.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { bytesSource, canonical, verifyRecord } from '@reprise/core'
import { recordCases, type RecordCase } from '../test/record/cases/index.ts'
import { ANSWERS_FILE, answerTo, differingFrom, FIRST_ANSWER, toldIn, type Told } from '../test/record/answers.ts'
import { readerOptions } from '../test/record/reader.ts'

const folder = resolve(import.meta.dirname, '../vectors/record')

async function write(each: RecordCase): Promise<Uint8Array> {
  const bytes = await each.make()
  const target = join(folder, each.name)
  await mkdir(target, { recursive: true })
  await writeFile(join(target, 'input.reprise'), bytes)
  for (const [name, content] of Object.entries(each.beside ?? {})) await writeFile(join(target, name), content)
  await writeFile(
    join(target, 'README.md'),
    `# ${each.name}\n\n${each.why}\n\nMade by \`npm run vectors\`; no TPM was involved.\n`,
  )
  await writeFile(join(target, 'expected.json'), `${canonical({ ...each.expected, ...(await shown(each, bytes)) })}\n`)
  return bytes
}

/** What a record that verifies shows: any other file of the same run must show the same. */
async function shown({ expected, beside = {} }: RecordCase, bytes: Uint8Array): Promise<object> {
  if (!('evidence' in expected) || expected.evidence !== 'verified') return {}
  const result = await verifyRecord(bytesSource(bytes), await readerOptions((file) => beside[file]))
  const { akNames, attestations, checkpoints, computationId, cumulative, runId, segments, snapshots } = result
  const { start, measurer } = result
  const warm = start?.kind === 'warm' ? { start } : {}
  return {
    akNames,
    attestations,
    checkpoints,
    computationId,
    cumulative,
    measurer,
    runId,
    segments,
    snapshots,
    ...warm,
  }
}

for (const name of await readdir(folder).catch(() => [])) {
  if (name !== 'README.md' && !recordCases.some((each) => each.name === name))
    await rm(join(folder, name), { recursive: true })
}
const told = new Map<string, Told>()
for (const each of recordCases)
  told.set(each.name, toldIn(await answerTo(await write(each), (file) => each.beside?.[file])))
const first = told.get(FIRST_ANSWER) ?? {}
const lines = [...told.keys()].sort().map((name) => {
  const answer = told.get(name) ?? {}
  return `${JSON.stringify({ name, ...(name === FIRST_ANSWER ? answer : differingFrom(first, answer)) })}\n`
})
await writeFile(ANSWERS_FILE, lines.join(''))
console.log(`${recordCases.length} cases in vectors/record`)
