/** Records whose hosts count their starts and attempts, with counters that do not hold. */
import { TPM_ALG, TPM_ST, TPMA_NV, utf8 } from '@reprise/core'
import { nodeCrypto } from '../node-crypto.ts'
import { clockAt } from '../sample.ts'
import type { RecordCase } from './case.ts'
import { asQuote, lies, unread } from './power.ts'

export const counterCases: readonly RecordCase[] = [
  lies('counter-back', 'The counter is below what it was in the first attempt.', 'COUNTER_BACK', (made) => {
    made.boot.counter.value = 2
    made.begin.value = made.ended.value = 9
  }),
  lies('counter-stands', 'The counter did not count the boot.', 'COUNTER_BACK', ({ boot }) => (boot.counter.value = 4)),
  lies('counter-attempt-not-counted', 'The counter did not count the attempt.', 'COUNTER_BACK', (made) => {
    made.begin.value = made.ended.value = 5
  }),
  lies(
    'counter-back-at-end',
    'At the end the counter is below what it was when the attempt began.',
    'COUNTER_BACK',
    ({ ended }) => {
      ended.value = 6
    },
  ),
  unread('counter-no-counter', 'An index that can be written to any value.', 'COUNTER_INDEX', ({ boot }) => {
    boot.counter.lie = { index: { attributes: TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA | TPMA_NV.WRITTEN } }
  }),
  unread('counter-with-policy', 'A counter that a policy can write as well.', 'COUNTER_INDEX', ({ boot }) => {
    boot.counter.lie = { index: { authPolicy: nodeCrypto.sha256(utf8('a policy')) } }
  }),
  unread('counter-longer', 'An index of more than the eight bytes of a counter.', 'COUNTER_INDEX', ({ boot }) => {
    boot.counter.lie = { index: { dataSize: 16 } }
  }),
  unread(
    'counter-other-hash',
    'The Name of the index is over another hash than SHA-256.',
    'COUNTER_INDEX',
    ({ boot }) => {
      boot.counter.lie = { index: { nameAlg: TPM_ALG.SHA384 } }
    },
  ),
  unread('counter-with-tail', 'TPMS_NV_PUBLIC with a byte after its end.', 'COUNTER_INDEX', ({ boot }) => {
    boot.counter.lie = { tail: Uint8Array.of(0) }
  }),
  unread(
    'counter-from-the-middle',
    'The bytes that were certified do not begin where the counter does.',
    'COUNTER_INDEX',
    ({ boot }) => {
      boot.counter.lie = {
        hook: (fields) =>
          fields.type === TPM_ST.ATTEST_NV ? { ...fields, attested: { ...fields.attested, offset: 8 } } : fields,
      }
    },
  ),
  unread('counter-a-quote', 'A quote in the place of a certified counter.', 'STATEMENT_ATTEST', ({ boot }) => {
    boot.counter.lie = { hook: asQuote }
  }),
  unread(
    'counter-no-attest',
    'What was signed in the place of a certified counter is no attestation of a TPM.',
    'STATEMENT_ATTEST',
    ({ boot }) => {
      boot.counter.lie = { bytes: utf8('the counter stands at 5') }
    },
  ),
  unread(
    'counter-other-name',
    'The Name that was certified is not that of the index shown.',
    'COUNTER_INDEX',
    ({ boot }) => {
      boot.counter.lie = { shown: { nvIndex: 0x01803501 } }
    },
  ),
  lies(
    'counter-exchanged',
    'The second attempt is counted by another counter than the first.',
    'COUNTER_INDEX',
    ({ begin }) => {
      begin.lie = { index: { nvIndex: 0x01803501 } }
    },
  ),
  lies(
    'counter-short',
    'Four bytes of a counter.',
    'COUNTER_INDEX',
    ({ begin }) => (begin.lie = { contents: new Uint8Array(4) }),
  ),
  lies('counter-of-other-run', 'The counter was certified for another run.', 'STATEMENT_BINDING', ({ begin }) => {
    begin.lie = { extraData: nodeCrypto.sha256(utf8('another run')) }
  }),
  lies(
    'counter-early',
    'The counter at the end was certified before the attestation before it.',
    'STATEMENT_CYCLE',
    ({ ended }) => {
      ended.clockInfo = clockAt(58_450, 8, 0)
    },
  ),
]
