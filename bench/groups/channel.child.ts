/**
 * Measured by channel.ts in processes of their own, which talk to it over IPC:
 *
 *     channel.child.ts witness FOLDER    a host with a software TPM in FOLDER that answers; the same with a TPM that takes its
 *                                        time; and one that answers TLS alone
 *     channel.child.ts asking NAME       a host with a key in software that asks
 */

import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls, createServer, type Server, type TLSSocket } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { hex, TPM_ALG } from '../../packages/core/src/index.ts'
import {
  type Channel,
  type ChannelServer,
  drawIdentity,
  type HostTpm,
  hostTpm,
  openChannel,
  type PlanView,
  serveChannels,
} from '../../packages/recovery/src/channel/index.ts'
import { softwareHost } from '../../packages/recovery/src/channel/testing/software-host.ts'
import {
  attestationKeyTemplate,
  connect,
  CreatePrimary,
  ENDORSEMENT,
  Quote,
  swtpm,
} from '../../packages/tpm/src/index.ts'

/** The plan, as it passes between processes. */
export type BenchPlan = readonly { readonly host: string; readonly ak: string }[]

export type Job = 'attested' | 'slow' | 'handshakes' | 'messages' | 'echoes'

export type ToChild =
  | { readonly kind: 'plan'; readonly plan: BenchPlan }
  /** Of the witness: how many quotes its TPM makes alone. */
  | { readonly kind: 'quotes'; readonly windowMs: number }
  /** Of the asking host: as many of these as it can. */
  | { readonly kind: 'run'; readonly job: Job; readonly to: string; readonly windowMs: number }
  | { readonly kind: 'cpu' }
  | { readonly kind: 'end' }

export type FromChild =
  | { readonly kind: 'ready'; readonly ak: string; readonly addresses: Readonly<Record<Job, string>> }
  | { readonly kind: 'done'; readonly perS: number; readonly count: number }
  | { readonly kind: 'cpu'; readonly cpuMs: number }

const WITNESS = 'witness'
/** Connections that one process has under way at once; messages on one channel. */
const AT_ONCE = 16
/** What a chip may take for a quote, and so many that its quotes have many statements each. */
const SLOW = { quoteMs: 100, atOnce: 64 }
const say = (message: FromChild): void => void process.send?.(message)

let view: PlanView = viewOf([], '')

function viewOf(plan: BenchPlan, address: string): PlanView {
  return {
    ...{ fleet: 'bench', version: 1, digest: new Uint8Array(32) },
    hosts: new Map(plan.map(({ host, ak }) => [host, { ak, address, state: 'active' as const }])),
    boots: [{ name: 'now', registers: new Map([4, 7].map((pcr) => [pcr, new Uint8Array(32)])) }],
    cap: { pcr: 14, value: new Uint8Array(32) },
  }
}

type Rate = Omit<Extract<FromChild, { kind: 'done' }>, 'kind'>

/** As many as come to an end in the window, this many at once. */
async function rate(atOnce: number, windowMs: number, once: () => Promise<void>): Promise<Rate> {
  const startedMs = performance.now()
  let count = 0
  const isOver = (): boolean => performance.now() - startedMs >= windowMs
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (; !isOver(); count++) await once()
    }),
  )
  return { count, perS: (1000 * count) / (performance.now() - startedMs) }
}

/** TLS as channels have it, and nothing else: every byte comes back. */
async function plainServer(): Promise<Server> {
  const { key, cert } = drawIdentity()
  const server = createServer({ key, cert, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.3' })
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined)
    socket.pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

async function witness(folder: string): Promise<void> {
  await swtpm.manufacture(folder)
  const chip = await swtpm.start(folder)
  const tpm = connect(await chip.open())
  const inPublic = attestationKeyTemplate(new Uint8Array(32))
  const ak = await tpm.execute(CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic }))
  const plain = await plainServer()
  const serve = (own: HostTpm): Promise<ChannelServer> =>
    serveChannels({
      tpm: own,
      view: () => view,
      address: { host: '127.0.0.1', port: 0 },
      limits: { unattestedPerAddress: 512, perHost: 512 },
      answer: () =>
        Promise.resolve({
          kind: 'observed',
          report: { uptimeMs: 1000, lastShutdown: 'clean', lease: { boundMs: 5, isContinuous: true, wallMs: 5 } },
          planVersion: 1,
        }),
    })
  const own = hostTpm(tpm, { host: WITNESS, ak })
  const late: HostTpm['quote'] = async (...about) => {
    const [quoted] = await Promise.all([own.quote(...about), sleep(SLOW.quoteMs)])
    return quoted
  }
  const servers = [await serve(own), await serve({ ...own, quote: late })]
  const [attested, slow] = servers.map(({ address }) => address)
  const echo = `127.0.0.1:${(plain.address() as AddressInfo).port}`
  const addresses = { attested, messages: attested, slow, handshakes: echo, echoes: echo }
  say({ kind: 'ready', ak: hex(ak.name), addresses })
  const pcrSelect = [{ hash: TPM_ALG.SHA256, pcrs: [4, 7, 14] }]
  const quote = (): Promise<void> =>
    tpm.execute(Quote({ signHandle: ak, qualifyingData: new Uint8Array(32), pcrSelect })).then(() => undefined)
  process.on('message', (message: ToChild) => {
    if (message.kind === 'plan') view = viewOf(message.plan, '')
    else if (message.kind === 'quotes')
      void rate(1, message.windowMs, quote).then((made) => say({ kind: 'done', ...made }))
    else if (message.kind === 'end') {
      plain.close()
      void Promise.all(servers.map((server) => server.close()))
        .then(() => swtpm.stop(chip, { tpm }))
        .then(() => process.disconnect?.())
    }
  })
}

async function asking(name: string): Promise<void> {
  const tpm = softwareHost(name)
  const identity = drawIdentity()
  say({ kind: 'ready', ak: tpm.ak, addresses: { attested: '', messages: '', slow: '', handshakes: '', echoes: '' } })

  let plan: BenchPlan = []

  async function open(): Promise<Channel> {
    const opened = await openChannel({ tpm, view, to: WITNESS, timeoutMs: 30_000, identity })
    if (opened.kind !== 'attested') throw new Error(`${opened.kind}: ${opened.why}`)
    return opened.channel
  }
  async function request(): Promise<void> {
    const channel = await open()
    await channel.say({ kind: 'observe', about: name }, 30_000)
    channel.close()
  }
  async function plain(address: string): Promise<TLSSocket> {
    const port = Number(address.split(':')[1])
    const socket = connectTls({ port, secureContext: identity.context, rejectUnauthorized: false })
    socket.setNoDelay(true)
    await once(socket, 'secureConnect')
    return socket
  }
  const jobs: Readonly<Record<Job, (to: string, windowMs: number) => Promise<Rate>>> = {
    attested: (_, windowMs) => rate(AT_ONCE, windowMs, request),
    slow: (_, windowMs) => rate(SLOW.atOnce, windowMs, request),
    handshakes: (to, windowMs) =>
      rate(AT_ONCE, windowMs, async () => {
        const socket = await plain(to)
        socket.write('observe')
        await once(socket, 'data')
        socket.destroy()
      }),
    async messages(_, windowMs) {
      const channel = await open()
      const made = await rate(AT_ONCE, windowMs, async () => {
        await channel.say({ kind: 'observe', about: name }, 30_000)
      })
      channel.close()
      return made
    },
    // As many bytes as a message has, one after another in as many connections: TLS does not tell them apart.
    async echoes(to, windowMs) {
      const sockets = await Promise.all(Array.from({ length: AT_ONCE }, () => plain(to)))
      const free = [...sockets]
      const made = await rate(AT_ONCE, windowMs, async () => {
        const socket = free.pop()
        if (socket === undefined) throw new Error('no connection is free')
        socket.write(Buffer.alloc(80))
        await once(socket, 'data')
        free.push(socket)
      })
      for (const socket of sockets) socket.destroy()
      return made
    },
  }
  process.on('message', (message: ToChild) => {
    if (message.kind === 'plan') ({ plan } = message)
    else if (message.kind === 'run') {
      view = viewOf(plan, message.to)
      void jobs[message.job](message.to, message.windowMs).then((made) => say({ kind: 'done', ...made }))
    } else if (message.kind === 'end') process.disconnect?.()
  })
}

process.on('message', (message: ToChild) => {
  if (message.kind !== 'cpu') return
  const { user, system } = process.cpuUsage()
  say({ kind: 'cpu', cpuMs: (user + system) / 1000 })
})
const [mode, argument = ''] = process.argv.slice(2)
await (mode === 'witness' ? witness(argument) : asking(argument))
