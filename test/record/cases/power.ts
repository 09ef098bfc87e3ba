/** Records of hosts whose TPM was reset or restarted meanwhile: with a statement about it, and with one that does not hold. */
import {
  bootDigest,
  concat,
  startupClearExchange,
  TPM_PT,
  TPM_ST,
  utf8,
  type FindingCode,
  type TpmsAttestFields,
  type TpmsClockInfo,
} from '@reprise/core'
import { eccTpm } from '../imitation-tpm.ts'
import { nodeCrypto } from '../node-crypto.ts'
import { clockAt, type Draft, type PlannedQuote, type Signed } from '../sample.ts'
import { startupResponse, type PlannedBoot, type PlannedCounter } from '../statements.ts'
import { refuted, verified, type RecordCase } from './case.ts'
import { secondAttempt } from './resumed.ts'

const BOOT_ID = '7c6f1a52-8a38-4f0a-9a5d-5d6f7a1f2c11'
const NEXT_BOOT_ID = '0d0c5b2e-6a1f-4f06-9a3f-2f4a3c5e7b90'

function boot(at: TpmsClockInfo, value: number, more: Partial<PlannedBoot> = {}): PlannedBoot {
  return { bootId: BOOT_ID, orderly: false, clockInfo: at, counter: { value, clockInfo: at }, ...more }
}

const counter = (at: TpmsClockInfo, value: number, more: Partial<PlannedCounter> = {}): PlannedCounter => ({
  value,
  clockInfo: at,
  ...more,
})

type Line = Signed['attestations'][number]

function bootOf({ boot }: Line): NonNullable<Line['boot']> {
  if (boot === undefined) throw new Error('the sample has a boot statement there')
  return boot
}

/** A quote with the same head. */
export function asQuote({
  qualifiedSigner,
  extraData,
  clockInfo,
  firmwareVersion,
}: TpmsAttestFields): TpmsAttestFields {
  return {
    type: TPM_ST.ATTEST_QUOTE,
    ...{ qualifiedSigner, extraData, clockInfo, firmwareVersion },
    attested: { pcrSelect: [], pcrDigest: new Uint8Array(32) },
  }
}

interface Told {
  readonly first: PlannedQuote
  readonly end: PlannedQuote
  readonly boot: PlannedBoot
  readonly begin: PlannedCounter
  readonly ended: PlannedCounter
}

/**
 * Two attempts on one host, each begun with statements. In between its TPM was reset: no Shutdown came, and the clock went back a
 * little. Another attempt, of another run, was begun meanwhile.
 */
export function told(draft: Draft, change: (told: Told) => void = () => undefined): void {
  secondAttempt(draft, 0, 8)
  draft.attempts[1].environment.bootId = NEXT_BOOT_ID
  const [first, , third, end] = draft.quotes
  first.boot = boot(clockAt(50_000), 3, { orderly: true })
  first.counter = counter(clockAt(59_990), 4)
  third.clockInfo = clockAt(58_500, 8, 0)
  end.clockInfo = clockAt(58_600, 8, 0)
  const second = boot(clockAt(58_000, 8, 0), 5, { bootId: NEXT_BOOT_ID })
  const begin = counter(clockAt(58_400, 8, 0), 7)
  Object.assign(third, { boot: second, counter: begin })
  const ended = counter(clockAt(58_590, 8, 0), 7)
  end.counter = ended
  change({ first: third, end, boot: second, begin, ended })
}

/** One attempt, in the middle of which the host slept. */
export function slept(draft: Draft, restartCount = 2): void {
  const last = draft.quotes[2]
  last.clockInfo = clockAt(70_000, 7, restartCount)
  last.boot = boot(clockAt(69_000, 7, restartCount), 4, { orderly: true })
}

export function lies(name: string, why: string, code: FindingCode, change: (told: Told) => void): RecordCase {
  return refuted(name, why, [code], { draft: (draft) => told(draft, change) })
}

/** A boot statement that cannot be read tells of nothing, so that the gap stays besides. */
export function unread(name: string, why: string, code: FindingCode, change: (told: Told) => void): RecordCase {
  return refuted(name, why, (['ATTEMPT_GAP', code] as const).toSorted(), { draft: (draft) => told(draft, change) })
}

export const powerCases: readonly RecordCase[] = [
  verified('boot-told', 'The host went down without a shutdown between two attempts, and a boot statement says so.', {
    draft: (draft) => told(draft),
  }),
  verified('boot-told-orderly', 'The host was shut down between two attempts, by its own word.', {
    draft: (draft) =>
      told(draft, (made) => {
        made.boot.orderly = true
        const at = (clock: number): TpmsClockInfo => clockAt(clock, 8, 0)
        made.boot.clockInfo = made.boot.counter.clockInfo = at(61_000)
        made.begin.clockInfo = at(61_100)
        made.first.clockInfo = at(61_200)
        made.end.clockInfo = made.ended.clockInfo = at(61_300)
      }),
  }),
  verified('boot-in-the-middle', 'The host slept in the middle of an attempt, and a boot statement joins both sides.', {
    draft: (draft) => slept(draft),
  }),
  verified('boot-slept-twice', 'The host slept twice between two attestations: both times its TPM was shut down.', {
    draft: (draft) => slept(draft, 3),
  }),
  verified('boot-reset-in-the-middle', 'The software TPM was killed and started again in the middle of an attempt.', {
    draft(draft) {
      const last = draft.quotes[2]
      last.clockInfo = clockAt(58_000, 8, 0)
      last.boot = boot(clockAt(57_900, 8, 0), 4)
    },
  }),
  verified(
    'boot-told-again',
    'Two attempts within one power cycle carry the same boot statement, which is made once in each.',
    {
      draft(draft) {
        secondAttempt(draft, 0, 7)
        const [first, , third] = draft.quotes
        first.boot = third.boot = boot(clockAt(50_000), 3)
        first.counter = counter(clockAt(59_990), 4)
        third.counter = counter(clockAt(60_002), 5)
      },
    },
  ),
  verified(
    'boot-twice-between',
    'The host was reset twice between two attempts: the statement tells of the second time alone.',
    {
      draft: (draft) =>
        told(draft, (made) => {
          const at = ({ clock }: TpmsClockInfo): TpmsClockInfo => clockAt(Number(clock), 9, 0)
          for (const each of [made.first, made.end, made.boot, made.boot.counter, made.begin, made.ended])
            each.clockInfo = at(each.clockInfo)
        }),
    },
    ['ATTEMPT_GAP'],
  ),
  verified(
    'boot-reset-alone',
    'A chip was reset while its host went on: what it measured afterwards could be anything.',
    {
      draft(draft) {
        told(draft, ({ boot }) => (boot.bootId = BOOT_ID))
        draft.attempts[1].environment.bootId = BOOT_ID
        for (const { environment } of draft.attempts) environment.tpm.transport = 'device'
      },
    },
    ['TPM_RESET_ALONE'],
  ),
  verified(
    'attempt-other-kernel',
    'The second attempt is under another kernel, and the TPM was not reset in between (kexec).',
    {
      draft(draft) {
        secondAttempt(draft, 0, 7)
        draft.attempts[1].environment.bootId = NEXT_BOOT_ID
      },
    },
    ['ATTEMPT_GAP'],
  ),
  verified(
    'boot-missing',
    'The same without a boot statement: nothing shows how the host went down.',
    {
      draft: (draft) =>
        told(draft, ({ first }) => {
          delete first.boot
        }),
    },
    ['ATTEMPT_GAP'],
  ),
  refuted(
    'boot-missing-in-the-middle',
    'A host slept in the middle of an attempt, and no statement says so.',
    ['ATTESTATION_ORDER'],
    {
      draft(draft) {
        slept(draft)
        delete draft.quotes[2].boot
      },
    },
  ),
  lies('boot-forged', 'The start-up was signed by another key.', 'STATEMENT_SIGNATURE', ({ boot }) => {
    boot.lie = { signer: eccTpm('somebody') }
  }),
  lies('boot-counter-forged', "The boot's counter was signed by another key.", 'STATEMENT_SIGNATURE', ({ boot }) => {
    boot.counter.lie = { signer: eccTpm('somebody') }
  }),
  lies(
    'boot-of-other-host',
    'The statement was made for another host, by the key of this one.',
    'STATEMENT_BINDING',
    ({ boot }) => {
      boot.lie = {
        extraData: bootDigest({ hostId: nodeCrypto.sha256(utf8('another')), bootId: NEXT_BOOT_ID }, nodeCrypto.sha256),
      }
    },
  ),
  lies('boot-of-other-kernel', 'The statement was made under another kernel.', 'STATEMENT_BINDING', ({ boot }) => {
    boot.counter.lie = { extraData: nodeCrypto.sha256(utf8('another kernel')) }
  }),
  lies(
    'boot-of-other-signer',
    "The signer is qualified by another hierarchy than the host's key.",
    'STATEMENT_ATTEST',
    ({ boot }) => {
      boot.lie = {
        hook: (fields) => ({ ...fields, qualifiedSigner: eccTpm('host 0', { parent: 0x40000001 }).qualifiedName }),
      }
    },
  ),
  unread('boot-a-quote', 'A quote in the place of the audited start-up.', 'STATEMENT_ATTEST', ({ boot }) => {
    boot.lie = { hook: asQuote }
  }),
  refuted(
    'boot-replayed',
    'The statement of the boot before, in which the host was shut down.',
    ['ATTEMPT_GAP', 'STATEMENT_CYCLE'],
    {
      draft: (draft) =>
        told(draft, ({ boot }) => {
          boot.orderly = true
          boot.clockInfo = boot.counter.clockInfo = clockAt(50_000)
        }),
    },
  ),
  lies(
    'boot-later',
    'The statement was made after the quote that carries it.',
    'STATEMENT_CYCLE',
    ({ boot, begin }) => {
      boot.counter.clockInfo = begin.clockInfo = clockAt(58_550, 8, 0)
    },
  ),
  lies(
    'boot-counted-first',
    'The counter of a boot was certified before the start-up.',
    'STATEMENT_CYCLE',
    ({ boot }) => {
      boot.counter.clockInfo = clockAt(57_000, 8, 0)
    },
  ),
  unread(
    'boot-orderly-exchanged',
    'The TPM said that no Shutdown came; the record says that one did.',
    'AUDIT_DIGEST',
    ({ boot }) => {
      boot.lie = { response: startupResponse(true) }
    },
  ),
  unread(
    'boot-other-property',
    'Another property of the TPM was asked for and audited.',
    'AUDIT_DIGEST',
    ({ boot }) => {
      const response = startupResponse(true, TPM_PT.PERMANENT)
      boot.lie = { response, audited: [startupClearExchange(response)] }
    },
  ),
  unread('boot-other-command', 'Another command was audited, with this answer.', 'AUDIT_DIGEST', ({ boot }) => {
    const exchange = startupClearExchange(startupResponse(true))
    boot.lie = { response: startupResponse(true), audited: [{ ...exchange, commandCode: 0x17e }] }
  }),
  unread('boot-more-commands', 'The session audited a command besides.', 'AUDIT_DIGEST', ({ boot }) => {
    boot.lie = { audited: [startupClearExchange(startupResponse(false)), startupClearExchange(startupResponse(false))] }
  }),
  unread(
    'boot-response-with-tail',
    'The answer of the TPM has a byte more than it should.',
    'AUDIT_DIGEST',
    ({ boot }) => {
      const response = concat(startupResponse(true), Uint8Array.of(0))
      boot.lie = { response, audited: [startupClearExchange(response)] }
    },
  ),
  unread(
    'boot-no-attest',
    'What was signed in the place of the audited start-up is no attestation of a TPM.',
    'STATEMENT_ATTEST',
    ({ boot }) => {
      boot.lie = { bytes: utf8('the host was shut down') }
    },
  ),
  lies(
    'boot-clock-back',
    'The clock went back though the TPM was shut down.',
    'ATTESTATION_ORDER',
    ({ boot }) => (boot.orderly = true),
  ),
  refuted('boot-clock-far-back', 'The clock went back by more than a TPM forgets.', ['ATTESTATION_ORDER'], {
    draft: (draft) =>
      told(draft, () => {
        for (const quote of draft.quotes.slice(0, 2))
          quote.clockInfo = clockAt(Number(quote.clockInfo.clock) + 4_300_000)
      }),
  }),
  refuted(
    'boot-taken-out',
    'The boot statement was taken out, so that only a gap would show.',
    ['ATTEMPT_GAP', 'BATCH'],
    {
      draft: (draft) => told(draft),
      signed: ({ attestations }) => void delete attestations[2].boot,
    },
  ),
  refuted(
    'boot-exchanged',
    'The boot statement of the first attempt stands in the second one as well.',
    ['ATTEMPT_GAP', 'BATCH', 'STATEMENT_CYCLE'],
    {
      draft: (draft) => told(draft),
      signed: ({ attestations }) => (attestations[2].boot = bootOf(attestations[0])),
    },
  ),
  refuted('boot-upper-case', 'A boot statement that is not written as it should be.', ['SCHEMA'], {
    draft: (draft) => told(draft),
    signed: ({ attestations }) => (bootOf(attestations[2]).startup.response = 'AB'),
  }),
  refuted('boot-unknown-field', 'A boot statement with a field that nobody knows.', ['SCHEMA'], {
    draft: (draft) => told(draft),
    signed: ({ attestations }) => Object.assign(bootOf(attestations[2]), { note: 'all is well' }),
  }),
]
