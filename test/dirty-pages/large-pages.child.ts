/**
 * Writes to every page of a large WebAssembly memory, has it watched, then writes to one page in each large one, and prints
 * what the kernel says of all that, as JSON: `LargePages`.
 */

import { readFileSync } from 'node:fs'
import { pagesDiffer } from '@reprise/wasm'
import { DirtyPages, startScanner } from '../../packages/runner/src/dirty-pages/index.ts'
import { locate } from '../../packages/runner/src/dirty-pages/locate.ts'
import { ScannerClient, watch } from '../../packages/runner/src/dirty-pages/scanner-client.ts'

export interface LargePages {
  /** Of the mapping that the memory lies in, as `/proc/PID/smaps` has it (`VmFlags`). */
  readonly flags: readonly string[]
  readonly written: readonly number[]
  readonly named: readonly number[]
  /** Those that changed in a memory that nobody had touched before. */
  readonly sparse: readonly number[]
}

const PAGE_BYTES = 4096
const MEMORY_PAGES = 1024
const LARGE_PAGE_BYTES = 2 << 20

const memory = new Uint8Array(new WebAssembly.Memory({ initial: MEMORY_PAGES }).buffer)
const address = locate(memory)
memory.fill(1)
const written = Array.from(
  { length: memory.length / LARGE_PAGE_BYTES },
  (_, i) => (i * LARGE_PAGE_BYTES) / PAGE_BYTES + ((7 * i) % 512),
)

const scanner = await startScanner()
const client = new ScannerClient(scanner.pid)
watch(client, memory, address)
for (const page of written) memory[page * PAGE_BYTES] = 2
const named = client
  .take(address, memory.length / PAGE_BYTES)
  .flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i))
client.close()
scanner.stop()

const answer: LargePages = { flags: flagsAt(address), written, named, sparse: await sparse() }
process.stdout.write(JSON.stringify(answer))

/** A large page comes with all its small ones: those that were not written are compared and have not changed. */
async function sparse(): Promise<readonly number[]> {
  const other = new Uint8Array(new WebAssembly.Memory({ initial: MEMORY_PAGES }).buffer)
  const second = await startScanner()
  const dirtyPages = new DirtyPages({
    choice: 'kernel',
    differs: pagesDiffer,
    wantScanner: () => {},
    onMethod: () => {},
  })
  dirtyPages.attach(second.pid)
  dirtyPages.beginsWith([])
  const shadow = new Uint8Array(other.length)
  const take = (): number[] => [...dirtyPages.take(other, shadow)].flatMap((part) => [...part])
  take()
  for (const page of written) other[page * PAGE_BYTES] = 3
  const changed = take()
  second.stop()
  return changed
}

function flagsAt(wanted: number): string[] {
  let isIt = false
  for (const line of readFileSync('/proc/self/smaps', 'latin1').split('\n')) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? []
    if (from !== undefined && to !== undefined) isIt = parseInt(from, 16) <= wanted && wanted < parseInt(to, 16)
    if (isIt && line.startsWith('VmFlags:')) return line.slice('VmFlags:'.length).trim().split(' ')
  }
  throw new Error('no mapping is there')
}
