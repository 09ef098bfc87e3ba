/** Records that show the state of their hosts, and records that lie about it. */
import { canonical, concat, fromUtf8, hex, logEntryName, OWN_LOG_PCR, utf8, type HostRules } from '@reprise/core'
import { allRules, ENGINE, FILES, HONEST, imaList, measured, NODE, OFF, ownLog } from '../measured-host.ts'
import { nodeCrypto } from '../node-crypto.ts'
import type { Draft, Mutable, Signed } from '../sample.ts'
import { refuted, verified, type RecordCase } from './case.ts'
import { secondAttempt } from './resumed.ts'

export const ima = imaList(FILES)
export const OTHER = nodeCrypto.sha256(utf8('something else'))

/** A host that shows everything, and a computation that demands it. */
export function honest(draft: Draft, rules: HostRules | null = allRules()): void {
  measured(draft, { boot: HONEST, own: ownLog(), ima: ima.bytes })
  draft.pcrs['10'] = ima.register
  if (rules !== null) draft.computation.host = rules as Mutable<HostRules>
}

function withLog(signed: Signed, kind: 'boot' | 'ima' | 'own', change: (bytes: Uint8Array) => Uint8Array): void {
  const log = signed.document.attempts[0].environment.logs.find((each) => each.kind === kind)
  if (log === undefined || !('sha256' in log)) throw new Error(`the sample has no ${kind} log`)
  const name = logEntryName(log.sha256)
  signed.evidence.set(name, change(signed.evidence.get(name) as Uint8Array))
}

const flipped = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => (i === bytes.length - 9 ? byte ^ 1 : byte))

export const hostCases: readonly RecordCase[] = [
  verified(
    'host-measured',
    'Boot log, list of IMA and own log replay to the quoted registers, and all that the computation demands is met. It is a software TPM: nothing counts as measured.',
    { draft: (draft) => honest(draft) },
  ),
  verified('host-without-rules', 'The same host, of which nothing is demanded.', {
    draft: (draft) => honest(draft, null),
  }),
  verified('log-left-out', 'The list of IMA was too large; the environment says that it was left out.', {
    draft(draft) {
      measured(draft, { boot: HONEST, own: ownLog() })
      draft.attempts[0].environment.logs = [
        draft.attempts[0].environment.logs[0],
        { kind: 'ima', leftOut: 'too-large' },
        draft.attempts[0].environment.logs[1],
      ]
    },
  }),
  verified(
    'repetition-elsewhere',
    'A repetition on a host that is none of those that the computation demands: it need not be.',
    {
      draft(draft) {
        measured(draft, { boot: OFF, own: ownLog() })
        draft.computation.host = { eventLog: [{ kind: 'secureBoot', state: 'on' }], onChange: 'stop' }
        draft.attempts[0].environment.repeats = 'ab'.repeat(32)
      },
    },
    ['HOST_RULE_UNMET'],
  ),
  verified(
    'log-not-a-log',
    'What the host found in the place of the boot log is none; nothing is demanded of it.',
    {
      draft(draft) {
        measured(draft, { boot: { ...HONEST, log: utf8('this machine is fine, believe me') } })
      },
    },
    ['LOG_UNREADABLE'],
  ),
  verified(
    'log-not-a-log-twice',
    'Two attempts name the same boot log, which is none: that is said once.',
    {
      draft(draft) {
        secondAttempt(draft, 0, 8)
        measured(draft, { boot: { ...HONEST, log: utf8('this machine is fine, believe me') } })
      },
    },
    ['ATTEMPT_GAP', 'LOG_UNREADABLE'],
  ),
  verified(
    'log-not-replaying',
    'The host shows the log of a boot with Secure Boot on; its registers are those of one with Secure Boot off. Nothing is concluded from it.',
    {
      draft(draft) {
        measured(draft, { boot: { ...OFF, log: HONEST.log } })
      },
    },
    ['LOG_REPLAY'],
  ),
  verified(
    'ima-truncated',
    'The end of the list of IMA is missing: its register holds more than the list says.',
    {
      draft(draft) {
        measured(draft, { ima: imaList(FILES.slice(0, 2)).bytes })
        draft.pcrs['10'] = ima.register
      },
    },
    ['IMA_REPLAY'],
  ),
  verified(
    'ima-of-other-file',
    'An entry of the list of IMA names another file than was measured.',
    {
      draft(draft) {
        measured(draft, { ima: imaList([['/usr/bin/node', OTHER], ...FILES.slice(1)]).bytes })
        draft.pcrs['10'] = ima.register
      },
    },
    ['IMA_REPLAY'],
  ),
  refuted('log-exchanged', 'Another boot log than the one that the environment names.', ['LOG_DIGEST'], {
    draft: (draft) => honest(draft, null),
    signed: (signed) => withLog(signed, 'boot', flipped),
  }),
  refuted(
    'log-exchanged-for-two',
    'Another boot log than the one that both attempts name.',
    ['ATTEMPT_GAP', 'LOG_DIGEST'],
    {
      draft(draft) {
        secondAttempt(draft, 0, 8)
        measured(draft, { boot: HONEST })
      },
      signed: (signed) => withLog(signed, 'boot', flipped),
    },
  ),
  refuted(
    'log-exchanged-unsigned',
    'Another boot log than the one that the environment names, in a record of which nothing is signed.',
    ['FIRST_UNSIGNED', 'LOG_DIGEST', 'UNSIGNED_TAIL'],
    {
      draft: (draft) => measured(draft, { boot: HONEST }),
      signed(signed) {
        withLog(signed, 'boot', flipped)
        signed.attestations.length = 0
      },
    },
  ),
  refuted('log-of-other-length', 'The list of IMA ends earlier than the environment says.', ['LOG_DIGEST'], {
    draft: (draft) => honest(draft, null),
    signed: (signed) => withLog(signed, 'ima', (bytes) => bytes.subarray(0, -1)),
  }),
  refuted('log-missing', 'The environment names a boot log that is not there.', ['SCHEMA'], {
    draft: (draft) => honest(draft, null),
    signed(signed) {
      const [log] = signed.document.attempts[0].environment.logs
      if ('sha256' in log) signed.evidence.delete(logEntryName(log.sha256))
    },
  }),
  refuted('log-unnamed', 'A log that no environment names.', ['SCHEMA'], {
    signed: (signed) => void signed.evidence.set(logEntryName(hex(OTHER)), utf8('a log')),
  }),
  refuted('log-twice', 'An environment with two boot logs: a reader could choose.', ['SCHEMA'], {
    draft(draft) {
      honest(draft, null)
      const { environment } = draft.attempts[0]
      environment.logs = [environment.logs[0], environment.logs[0], environment.logs[2]]
    },
  }),
  refuted('log-renamed', 'The list of IMA passes for the boot log, after signing.', ['BATCH', 'LOG_UNREADABLE'], {
    draft: (draft) => measured(draft, { boot: HONEST }),
    signed(signed) {
      const { environment } = signed.document.attempts[0]
      environment.logs = environment.logs.map((log) => ({ ...log, kind: 'ima' }))
    },
  }),
  refuted(
    'own-log-forged',
    'The own log names another engine; its digests are made to fit, the register does not.',
    ['OWN_LOG'],
    {
      draft(draft) {
        measured(draft, { own: ownLog() })
        const told = draft.pcrs[OWN_LOG_PCR]
        measured(draft, {
          own: ownLog((log) => {
            log.measurements = log.measurements.map((each) =>
              each.kind === 'node' ? { ...each, sha256: hex(OTHER) } : each,
            )
          }),
        })
        draft.pcrs[OWN_LOG_PCR] = told
      },
    },
  ),
  refuted('own-log-relabelled', 'An entry of the own log says something else than its digest.', ['OWN_LOG'], {
    draft(draft) {
      measured(draft, { own: ownLog() })
      const text = fromUtf8(draft.logs[0]).replace('"version":"26.10.0"', '"version":"26.10.1"')
      draft.logs = [utf8(text)]
      draft.attempts[0].environment.logs = [
        {
          kind: 'own',
          lengthBytes: text.length,
          sha256: hex(nodeCrypto.sha256(utf8(text))),
          source: 'host',
        },
      ]
    },
  }),
  refuted('own-log-of-other-boot', 'The own log is of an earlier power cycle of the TPM.', ['OWN_LOG'], {
    draft: (draft) =>
      measured(draft, {
        own: ownLog((log) => {
          log.begin = { ...log.begin, resetCount: 6 }
        }),
      }),
  }),
  refuted('own-log-not-quoted', 'The register of the own log is left out of the quotes.', ['OWN_LOG'], {
    draft(draft) {
      measured(draft, { own: ownLog() })
      delete draft.pcrs[OWN_LOG_PCR]
    },
  }),
  refuted('rule-not-met', 'The computation demands Secure Boot; it was off.', ['HOST_RULE_UNMET'], {
    draft(draft) {
      measured(draft, { boot: OFF, own: ownLog() })
      draft.computation.host = { eventLog: [{ kind: 'secureBoot', state: 'on' }], onChange: 'stop' }
    },
  }),
  refuted('rule-kernel-not-listed', 'The computation demands another kernel.', ['HOST_RULE_UNMET'], {
    draft(draft) {
      honest(draft, { eventLog: [{ digests: [`sha256:${hex(OTHER)}`], kind: 'kernel' }], onChange: 'stop' })
    },
  }),
  refuted(
    'rule-unknown',
    'The computation demands Secure Boot, and the log does not replay to PCR 7: unknown is not enough.',
    ['HOST_RULE_UNKNOWN', 'LOG_REPLAY'],
    {
      draft(draft) {
        honest(draft, { eventLog: [{ kind: 'secureBoot', state: 'on' }], onChange: 'stop' })
        draft.pcrs['7'] = OTHER
      },
    },
  ),
  refuted('rule-without-log', 'The computation demands Secure Boot, and there is no boot log.', ['HOST_RULE_UNKNOWN'], {
    draft: (draft) =>
      (draft.computation.host = { eventLog: [{ kind: 'secureBoot', state: 'on' }], onChange: 'record' }),
  }),
  refuted('rule-tier', 'The computation demands a hardware TPM; nothing vouches for one.', ['HOST_RULE_UNMET'], {
    draft: (draft) => (draft.computation.host = { onChange: 'stop', tier: 'hardware' }),
  }),
  refuted('rule-pcr-not-quoted', 'The computation names PCR 14, and the quotes leave it out.', ['PCRS'], {
    draft: (draft) => (draft.computation.host = { onChange: 'stop', pcrs: { sha256: { '14': '00'.repeat(32) } } }),
  }),
  refuted(
    'rule-pcr-other-value',
    'The computation names a value of PCR 7 that the host does not have.',
    ['HOST_RULE_UNMET'],
    {
      draft: (draft) => (draft.computation.host = { onChange: 'stop', pcrs: { sha256: { '7': hex(OTHER) } } }),
    },
  ),
  refuted(
    'rule-engine-not-listed',
    'The engine that the host measured is not one that the computation lists.',
    ['HOST_RULE_UNMET'],
    {
      draft: (draft) => honest(draft, { engines: [NODE], onChange: 'stop' }),
    },
  ),
  refuted(
    'rule-engine-washed',
    'Another engine was measured first. The register cannot forget it, although the last one is listed.',
    ['HOST_RULE_UNMET'],
    {
      draft(draft) {
        const own = ownLog((log) => {
          const [host, engine, ...others] = log.measurements
          const files = [{ name: 'evil.js', sha256: hex(OTHER) }]
          const digest = nodeCrypto.sha256(concat(utf8('reprise/engine/v1'), Uint8Array.of(0), utf8(canonical(files))))
          const evil = { ...engine, files, sha256: hex(digest) } as typeof engine
          log.measurements = [host, evil, engine, ...others]
        })
        measured(draft, { own })
        draft.computation.host = { engines: [ENGINE, NODE], onChange: 'stop' }
      },
    },
  ),
  refuted(
    'rule-engine-begun-late',
    'The own log begins at a value that something else brought the register to: nothing says which engine that was.',
    ['HOST_RULE_UNKNOWN'],
    {
      draft(draft) {
        measured(draft, { own: ownLog((log) => void (log.begin = { ...log.begin, register: hex(OTHER) })) })
        draft.computation.host = { engines: [ENGINE, NODE], onChange: 'stop' }
      },
    },
  ),
  refuted('rules-loosened', 'The rules were taken out of the computation after the run.', ['BATCH'], {
    draft: (draft) => honest(draft),
    signed: (signed) => void delete signed.document.computation.host,
  }),
  refuted('rules-empty', 'Rules that demand nothing look like rules.', ['SCHEMA'], {
    draft: (draft) => (draft.computation.host = { onChange: 'stop' }),
  }),
  refuted('rule-of-other-bank', 'A rule for a register of a bank that no record quotes.', ['SCHEMA'], {
    draft: (draft) =>
      (draft.computation.host = {
        eventLog: [{ bank: 'sha1', kind: 'pcr', pcr: 7, value: '00'.repeat(20) }],
        onChange: 'stop',
      }),
  }),
]
