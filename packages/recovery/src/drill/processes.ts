/** Processes that lose their power: all of a host at once, and nothing of anybody else. */
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleepMs } from 'node:timers/promises'

const GONE_MS = 10_000
const POLL_MS = 2

/** kill -9 of these processes and of all that they started, as one loss of power; returns when they are gone. */
export async function cutPower(pids: readonly number[]): Promise<void> {
  const all = await withChildren(pids)
  for (const pid of all) kill(pid, 'SIGKILL')
  await whenGone(all)
}

/** What they are, and all that descends from them, parents first. */
async function withChildren(pids: readonly number[]): Promise<readonly number[]> {
  const children = new Map<number, number[]>()
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = await parentOf(name)
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const found = [...pids]
  for (const pid of found) found.push(...(children.get(pid) ?? []))
  return found
}

async function parentOf(pid: string): Promise<number | undefined> {
  try {
    // The name may have anything in it; what follows its last parenthesis is fixed (proc_pid_stat(5)).
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** @throws Error when one of them stays. */
async function whenGone(pids: readonly number[]): Promise<void> {
  const deadlineMs = Date.now() + GONE_MS
  for (const pid of pids)
    while (await isAlive(pid)) {
      if (Date.now() > deadlineMs) throw new Error(`process ${pid} does not go`)
      await sleepMs(POLL_MS)
    }
}

/** A zombie has no command line: its parent has not looked yet, and its memory and its files are gone. */
async function isAlive(pid: number): Promise<boolean> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`)).length > 0
  } catch {
    return false
  }
}
