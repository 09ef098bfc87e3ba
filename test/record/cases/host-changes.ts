/** Records of hosts that change under the run: registers, lists that grow, power cycles. */
import { hex, OWN_LOG_PCR } from '@reprise/core'
import { allRules, ENGINE, FILES, imaList, measured, NODE, ownLog } from '../measured-host.ts'
import { nodeCrypto } from '../node-crypto.ts'
import { clockAt, type Draft } from '../sample.ts'
import { refuted, unverifiable, verified, type RecordCase } from './case.ts'
import { honest, ima, OTHER } from './hosts.ts'
import { slept } from './power.ts'
import { secondAttempt } from './resumed.ts'

export const hostChangeCases: readonly RecordCase[] = [
  verified('ima-grows', 'The list is longer than what was quoted, and grows again before the next quote.', {
    draft(draft) {
      honest(draft, null)
      draft.pcrs['10'] = imaList(FILES.slice(0, 2)).register
      draft.quotes[1].pcrs = { '10': ima.register }
    },
  }),
  verified(
    'host-changed-recorded',
    'A register changes under the run, and the computation wants that recorded.',
    {
      draft(draft) {
        honest(draft, allRules('record'))
        draft.quotes[2].pcrs = { '7': OTHER }
      },
    },
    ['HOST_CHANGED'],
  ),
  verified(
    'host-changed-recorded-on',
    'A register changes under the run, and the run goes on to another attestation: it is recorded once.',
    {
      draft(draft) {
        honest(draft, allRules('record'))
        draft.quotes[1].pcrs = draft.quotes[2].pcrs = { '7': OTHER }
      },
    },
    ['HOST_CHANGED'],
  ),
  unverifiable('host-changed', 'A register changes under the run; the last attestation shows it.', ['HOST_CHANGED'], {
    draft(draft) {
      honest(draft)
      draft.quotes[2].pcrs = { '7': OTHER }
    },
  }),
  refuted(
    'host-changed-gone-on',
    'A register changes under the run, and the run goes on although the computation wants it stopped.',
    ['HOST_CHANGED', 'HOST_RULE_UNKNOWN', 'HOST_RULE_UNMET'],
    {
      draft(draft) {
        honest(draft)
        draft.quotes[1].pcrs = { '7': OTHER }
      },
    },
  ),
  refuted(
    'rule-pcr-of-ima-changed',
    'The computation names a value of the register of IMA. It changes under the run, as that register does, and the run goes on.',
    ['HOST_CHANGED', 'HOST_RULE_UNMET'],
    {
      draft(draft) {
        honest(draft, { onChange: 'stop', pcrs: { sha256: { '10': hex(ima.register) } } })
        draft.quotes[1].pcrs = { '10': OTHER }
      },
    },
  ),
  refuted(
    'rule-engine-under-list',
    'A list that passes for one of IMA names the register of the own log, into which another engine is measured under the run.',
    ['HOST_CHANGED', 'HOST_RULE_UNKNOWN', 'IMA_REPLAY'],
    {
      draft(draft) {
        const list = imaList(FILES, OWN_LOG_PCR).bytes
        measured(draft, { own: ownLog(), ima: list })
        draft.computation.host = { engines: [ENGINE, NODE], onChange: 'stop' }
        draft.quotes[1].pcrs = draft.quotes[2].pcrs = { [OWN_LOG_PCR]: OTHER }
      },
    },
  ),
  refuted(
    'rule-engine-of-other-cycle',
    'The TPM was restarted under the run, and the register of the own log brought to the same value: no log of this power cycle is there.',
    ['HOST_CHANGED', 'HOST_RULE_UNKNOWN'],
    {
      draft(draft) {
        slept(draft)
        measured(draft, { own: ownLog() })
        draft.computation.host = { engines: [ENGINE, NODE], onChange: 'stop' }
        const last = draft.quotes[2]
        draft.quotes.push({ ...last, seq: 4, clockInfo: { ...last.clockInfo, clock: last.clockInfo.clock + 1n } })
        last.seq = 3
      },
    },
  ),
  verified(
    'host-changed-under-list',
    'A list that passes for one of IMA names the register of Secure Boot, which changes under the run: that is said all the same.',
    {
      draft(draft) {
        measured(draft, { ima: imaList(FILES, 7).bytes })
        draft.quotes[1].pcrs = draft.quotes[2].pcrs = { '7': OTHER }
      },
    },
    ['HOST_CHANGED'],
  ),
  verified(
    'ima-late',
    'The list of IMA reaches what the fourth value of its register covers; the value of the first quote stands twice.',
    { draft: (draft) => imaAt(draft, [0, 0, 1, 2, 3]) },
  ),
  verified(
    'ima-too-late',
    'The list of IMA reaches what the fifth value of its register covers: four are tried.',
    { draft: (draft) => imaAt(draft, [0, 1, 2, 4, 3]) },
    ['IMA_REPLAY'],
  ),
  verified(
    'ima-not-quoted',
    'There is a list of IMA, and the quotes leave its register out.',
    { draft: (draft) => measured(draft, { ima: ima.bytes }) },
    ['IMA_REPLAY'],
  ),
  verified(
    'host-changed-twice',
    'Two registers change, one of them twice, and the computation asks for nothing.',
    {
      draft(draft) {
        honest(draft, null)
        draft.quotes[1].pcrs = { '7': OTHER }
        draft.quotes[2].pcrs = { '2': OTHER, '7': nodeCrypto.sha256(OTHER) }
      },
    },
    ['HOST_CHANGED'],
  ),
  verified('own-log-goes-on', 'Another engine is measured under the run, and the computation asks for none.', {
    draft(draft) {
      measured(draft, { own: ownLog() })
      draft.quotes[2].pcrs = { [OWN_LOG_PCR]: OTHER }
    },
  }),
  verified(
    'host-changed-resumed',
    'The attempt was stopped when a register changed; the next one goes on from what was signed before, on a host that meets the rules.',
    { draft: (draft) => resumedAfterChange(draft, [0, 1, 2]) },
    ['HOST_CHANGED'],
  ),
  refuted(
    'host-changed-built-on',
    'The attempt was stopped when a register changed; the next one goes on from what was computed in the meantime.',
    ['HOST_CHANGED', 'HOST_RULE_UNKNOWN', 'HOST_RULE_UNMET'],
    { draft: (draft) => resumedAfterChange(draft, [0, 2]) },
  ),
]

/** Five quotes; at each the register of IMA has the value that the list does not reach, or reaches (3). */
function imaAt(draft: Draft, values: readonly number[]): void {
  measured(draft, { ima: ima.bytes })
  draft.quotes = values.map((value, seq) => ({
    ...draft.quotes[0],
    seq,
    clockInfo: clockAt(60_000 + seq),
    pcrs: { '10': value === 3 ? ima.register : nodeCrypto.sha256(Uint8Array.of(value)) },
  }))
}

/** Two attempts on one host, in one power cycle: the last attestation of the first shows another PCR 7. */
function resumedAfterChange(draft: Draft, signedFirst: readonly number[]): void {
  secondAttempt(draft, 0, 7)
  honest(draft)
  const signed = [...signedFirst.map((seq) => [1, seq]), [2, 3], [2, 4]]
  draft.quotes = signed.map(([attempt, seq], i) => ({
    attempt,
    seq,
    clockInfo: clockAt(60_000 + i),
    batch: { others: 0, index: 0 },
    ...(i === signedFirst.length - 1 && { pcrs: { '7': OTHER } }),
  }))
}
