/** What another host delivers to this one: put together in memory, and sealed at once. Rules: spec/agent.md §11. */

import { concat, equal, hex } from '@reprise/core'
import type { Attested } from '../../channel/channel.ts'
import type { Answer, Message } from '../../channel/messages.ts'
import { FAILED_TEXT_BYTES_MAX, toLine } from '../../channel/message-codec.ts'
import { readStatement, type Statement } from '../../operators/index.ts'
import { type DeliveryPermit, judgeDelivery, type Taker } from '../../protocol/delivery.ts'
import type { HostId } from '../../types.ts'
import { type Ground, messageOf } from '../ground.ts'
import { readTaken } from '../own/credentials.ts'
import type { Life } from '../own/life.ts'
import type { Contents, Provision } from '../own/provisioning.ts'
import { ownBoot } from '../tpm/own-boot.ts'
import { failed, standingOf, type WitnessParts } from '../witness/failing.ts'
import { decodeContents } from './contents.ts'

type Deliver = Message & { readonly kind: 'deliver' }

export interface Taking {
  readonly answer: (from: Attested, message: Deliver) => Promise<Answer>
}

export interface TakingParts {
  readonly witnessParts: WitnessParts
  readonly life: Life
  readonly provision: Provision
}

/** Parts of a delivery that does not go on are wiped. */
const PARTS_MS = 60_000
/** Who delivers hears how it stands after so long. */
const PROGRESS_MS = 5000

/** What came so far. */
interface Gathering {
  readonly digest: string
  readonly exporter: Uint8Array
  readonly parts: number
  readonly chunks: Uint8Array[]
  readonly timer: NodeJS.Timeout
}

/** The host is being provisioned with it. */
interface Provisioning {
  readonly digest: string
  readonly done: Promise<Answer>
}

export function makeTaking({ witnessParts, life, provision }: TakingParts): Taking {
  const { ground } = witnessParts
  let gathering: Gathering | undefined
  let provisioning: Provisioning | undefined

  function drop(): void {
    clearTimeout(gathering?.timer)
    for (const chunk of gathering?.chunks ?? []) chunk.fill(0)
    gathering = undefined
  }

  /** @returns The whole contents with the last part; else undefined. */
  function gather(permit: DeliveryPermit, from: Attested, { part, parts, bytes }: Deliver): Uint8Array | undefined {
    const { digest } = permit
    const goesOn = gathering?.digest === digest && gathering.parts === parts && equal(gathering.exporter, from.exporter)
    if (!goesOn) {
      drop()
      const timer = setTimeout(drop, PARTS_MS).unref()
      gathering = { digest, exporter: from.exporter, parts, chunks: [], timer }
    }
    if (gathering === undefined || part !== gathering.chunks.length) return undefined
    gathering.chunks.push(bytes)
    if (gathering.chunks.length < parts) return undefined
    const whole = concat(...gathering.chunks)
    drop()
    return whole
  }

  async function carryOut(permit: DeliveryPermit, whole: Uint8Array): Promise<Answer> {
    let contents: Contents
    try {
      contents = decodeContents(whole)
    } catch (error) {
      return failed('MALFORMED', toLine(messageOf(error), FAILED_TEXT_BYTES_MAX))
    } finally {
      whole.fill(0)
    }
    using given = contents
    const { by, host: to, madeMs, digest } = permit
    const statement = new Uint8Array(Buffer.from(digest, 'hex'))
    ground.report('delivery', { from: by, credentials: given.credentials.size, imageKeys: given.imageKeys.length })
    try {
      const epoch = await provision(given, { taken: { statement, madeMs } })
      await ground.audit({ kind: 'delivery', by, to, statement })
      return { kind: 'delivered', epoch }
    } catch (error) {
      ground.report('failed', { what: 'delivery', why: messageOf(error) })
      return failed('NOT_NOW', toLine(messageOf(error), FAILED_TEXT_BYTES_MAX))
    }
  }

  return {
    async answer(from, message) {
      const barred = standingOf(witnessParts, from)
      if (barred !== undefined) return barred
      const permit = permitOf(ground, message.statement)
      if ('kind' in permit) return permit
      const word = judgeDelivery(permit, from.host, await takerOf(ground, life))
      if (word.kind === 'known') return { kind: 'delivered', epoch: life.epoch }
      if (word.kind === 'refuse') return refused(ground, from.host, word)
      const { digest } = permit
      if (provisioning === undefined) {
        const whole = gather(permit, from, message)
        if (whole === undefined) return { kind: 'delivering', next: gathering?.chunks.length ?? 0 }
        const done = carryOut(permit, whole).finally(() => (provisioning = undefined))
        provisioning = { digest, done }
      }
      if (provisioning.digest !== digest) return failed('NOT_NOW', 'another delivery is under way')
      return (await within(PROGRESS_MS, provisioning.done)) ?? { kind: 'delivering', next: message.parts }
    },
  }
}

function refused(
  ground: Ground,
  from: HostId,
  { code, why }: { code: Parameters<typeof failed>[0]; why: string },
): Answer {
  ground.alarm(`${from} wanted to deliver, and was refused: ${why}`)
  return failed(code, why)
}

/** What the statement permits, when it counts; else the answer. */
function permitOf(ground: Ground, signed: Uint8Array): DeliveryPermit | Answer {
  try {
    const { statement, digest } = readStatement(signed, ground.fleet().plan)
    if (!isDelivery(statement)) return failed('STATEMENT', `it is a statement of kind ${statement.kind}`)
    const { host, by, madeMs, untilMs } = statement
    return { host, by, madeMs, untilMs, digest: hex(digest) }
  } catch (error) {
    return failed('STATEMENT', toLine(messageOf(error), FAILED_TEXT_BYTES_MAX))
  }
}

export function isDelivery(statement: Statement): statement is Statement & { readonly kind: 'delivery' } {
  return statement.kind === 'delivery'
}

async function takerOf(ground: Ground, { phase }: Life): Promise<Taker> {
  const taken = await readTaken(ground.paths.credentials)
  return {
    host: ground.host,
    state: phase.kind === 'unprovisioned' || phase.kind === 'released' ? phase.kind : 'waiting',
    isMeasurementApproved: (await ownBoot(ground)) !== undefined,
    taken: taken && { digest: hex(taken.statement), madeMs: taken.madeMs },
    wallMs: ground.nowMs(),
  }
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), timeoutMs)))
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
