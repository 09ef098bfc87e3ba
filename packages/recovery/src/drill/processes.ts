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
    const parent = (await statOf(Number(name)))?.parent
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const found = [...pids]
  for (const pid of found) found.push(...(children.get(pid) ?? []))
  return found
}

interface Stat {
  readonly state: string
  readonly parent: number
  readonly threads: number
}

/** Undefined of a process that is gone. */
async function statOf(pid: number): Promise<Stat | undefined> {
  try {
    // The name may have anything in it; what follows its last parenthesis is fixed (proc_pid_stat(5)).
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0], parent: Number(fields[1]), threads: Number(fields[17]) }
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

/**
 * A thread that waits for a disk keeps files and sockets open, be the first thread of its process dead for long. Whoever is
 * dead with all threads and not looked at yet by the parent holds nothing any more.
 */
async function isAlive(pid: number): Promise<boolean> {
  const { state, threads } = (await statOf(pid)) ?? { state: 'X', threads: 0 }
  return threads > 1 || (state !== 'Z' && state !== 'X')
}
