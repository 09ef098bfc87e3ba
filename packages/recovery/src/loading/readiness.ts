/** When a service is ready, by what its plan says. Rules: spec/loading.md §4. */

import { connect } from 'node:net'
import type { Readiness } from '../types.ts'
import { failureOf, type HolderPart, lost, type Namespaces, startPart } from './holder.ts'

/** What was arranged before the service starts. */
export interface Awaited {
  /** Settled when the service is ready; never, when it is not. */
  readonly ready: Promise<void>
  /** What did not come, as a clause. */
  readonly missing: () => string
  readonly close: () => void
}

/** Sockets of all services that tell by themselves: NOTIFY_SOCKET. */
export interface Notices {
  /** Path of a service's socket as the namespaces see it. */
  readonly socketOf: (service: string) => string
  /** Settled at its READY=1. */
  readonly readyOf: (service: string) => Promise<void>
  /** The last STATUS= that it sent. */
  readonly statusOf: (service: string) => string | undefined
  readonly close: () => Promise<void>
}

const PORT_EVERY_MS = 50
const STATUS_CHARACTERS_MAX = 200

/** @throws RecoveryError `LOADING` when the sockets cannot be made. */
export async function openNotices(
  names: readonly string[],
  where: { readonly namespaces: Namespaces; readonly folder: string },
): Promise<Notices> {
  const readiness = new Map(names.map((name) => [name, Promise.withResolvers<void>()]))
  const statuses = new Map<string, string>()
  const part = names.length === 0 ? undefined : await listen(names, where)
  const onLine = (line: string): void => {
    const [name, hex] = line.split(' ')
    for (const field of Buffer.from(hex, 'hex').toString().split('\n')) {
      if (field === 'READY=1') readiness.get(name)?.resolve()
      if (field.startsWith('STATUS=')) statuses.set(name, field.slice(7, 7 + STATUS_CHARACTERS_MAX))
    }
  }
  void (async () => {
    for await (const line of part?.lines ?? []) onLine(line)
  })().catch(() => undefined)
  return {
    socketOf: (service) => `${where.folder}/${service}`,
    readyOf: (service) => readiness.get(service)?.promise ?? new Promise(() => undefined),
    statusOf: (service) => statuses.get(service),
    close: async () => part?.end(),
  }
}

async function listen(
  names: readonly string[],
  { namespaces, folder }: { readonly namespaces: Namespaces; readonly folder: string },
): Promise<HolderPart> {
  const args = ['notify', String(namespaces), folder, ...names]
  const part = startPart(args)
  const line = await part.line()
  if (line === 'listening') return part
  await part.end()
  throw lost(args, failureOf(line)?.what ?? 'it ended at once')
}

/**
 * Arranges that readiness is seen, before the service starts.
 *
 * @returns A clause that says why it can never be told, such as a port that is taken; the service must not be started then.
 */
export async function awaitReadiness(
  service: { readonly name: string; readonly ready: Readiness },
  where: { readonly namespaces: Namespaces; readonly notices: Notices },
): Promise<Awaited | string> {
  const { name, ready } = service
  switch (ready.kind) {
    case 'started':
      return { ready: Promise.resolve(), missing: () => 'it did not start', close: () => undefined }
    case 'notify':
      return {
        ready: where.notices.readyOf(name),
        missing: () => {
          const status = where.notices.statusOf(name)
          return `no READY=1 came to its NOTIFY_SOCKET${status === undefined ? '' : `; its last status is "${status}"`}`
        },
        close: () => undefined,
      }
    case 'port':
      return (await answers(ready.port))
        ? `port ${ready.port}, by which it shows that it is ready, is taken by something else already`
        : awaitPort(ready.port)
    case 'file':
      return awaitFile(ready.path, where.namespaces)
  }
}

function awaitPort(port: number): Awaited {
  let isClosed = false
  const wait = async (): Promise<void> => {
    while (!isClosed && !(await answers(port))) await new Promise((resolve) => setTimeout(resolve, PORT_EVERY_MS))
    if (isClosed) await new Promise(() => undefined)
  }
  return {
    ready: wait(),
    missing: () => `nothing answers at port ${port}`,
    close: () => {
      isClosed = true
    },
  }
}

async function answers(port: number): Promise<boolean> {
  const found = await Promise.all(['127.0.0.1', '::1'].map((host) => connects(host, port)))
  return found.includes(true)
}

function connects(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ host, port, timeout: 1000 })
  const done = (does: boolean) => (): void => {
    resolve(does)
    socket.destroy()
  }
  socket.once('connect', done(true)).once('error', done(false)).once('timeout', done(false))
  return promise
}

async function awaitFile(path: string, namespaces: Namespaces): Promise<Awaited> {
  const args = ['watch', String(namespaces), path]
  const part = startPart(args)
  const line = await part.line()
  if (line !== 'watching') throw lost(args, failureOf(line)?.what ?? 'it ended at once')
  const there = async (): Promise<void> => {
    for await (const line of part.lines) if (line === 'there') return
    await new Promise(() => undefined)
  }
  return { ready: there(), missing: () => `${path} is not there, or is that of before`, close: () => void part.end() }
}
