/**
 * The project's own figures on this machine.
 *
 *     node bench/main.ts [GROUP…] [--json] [--quick]
 *
 * Exit 0, 2 for bad usage, 3 when a group could not be measured to its end, 130 when it was interrupted: what had been
 * measured is printed all the same.
 */

import { parseArgs } from 'node:util'
import { groups, runBench } from './index.ts'
import { printResult } from './report.ts'

const USAGE = `usage: reprise bench [GROUP…] [--json] [--quick]

${groups.map(({ name, about }) => `  ${name.padEnd(10)}${about}`).join('\n')}
`

async function main(): Promise<number> {
  const parsed = parse()
  const unknown = parsed?.positionals.filter((name) => !groups.some((group) => group.name === name)) ?? []
  if (parsed === undefined || unknown.length > 0) {
    if (unknown.length > 0) process.stderr.write(`there is no group ${unknown.join(', ')}\n`)
    process.stderr.write(USAGE)
    return 2
  }
  const { json, quick, help } = parsed.values
  if (help) {
    process.stdout.write(USAGE)
    return 0
  }
  const progress = (line: string): unknown => process.stderr.write(`${line}\n`)
  const interruption = new AbortController()
  process.once('SIGINT', () => interruption.abort())
  const { signal } = interruption
  const { result, complete } = await runBench({ names: parsed.positionals, quick, progress, signal })
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : printResult(result))
  if (signal.aborted) return 130
  return complete ? 0 : 3
}

function parse() {
  const flag = { type: 'boolean', default: false } as const
  try {
    return parseArgs({ allowPositionals: true, options: { json: flag, quick: flag, help: { ...flag, short: 'h' } } })
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    return undefined
  }
}

process.exitCode = await main()
