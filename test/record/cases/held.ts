/** Records that verify, and records of which too little is signed. */
import { decodeTpmtSignature, encodeTpmtSignature, fromHex, hex, utf8, type Outcome } from '@reprise/core'
import { otherEcdsa, rsaTpm } from '../imitation-tpm.ts'
import { nodeCrypto } from '../node-crypto.ts'
import { RSA_TEST_KEY } from '../rsa-key.ts'
import type { Draft } from '../sample.ts'
import { unverifiable, verified, type RecordCase } from './case.ts'

/** Cuts the run after checkpoint `seq`: no final checkpoint, no outcome. */
export function stopAfter(draft: Draft, seq: number): void {
  draft.checkpoints.length = seq + 1
  draft.outcome = null
  draft.contents.splice(2, 2)
  draft.quotes = draft.quotes.filter((quote) => quote.seq <= seq)
}

export const EK_CERTIFICATE = utf8('stands for the DER of an EK certificate')

export function withCertificate(draft: Draft): void {
  draft.hosts[0].ek = EK_CERTIFICATE
  draft.attempts[0].environment.ekCertificate = hex(nodeCrypto.sha256(EK_CERTIFICATE))
}

export const heldCases: readonly RecordCase[] = [
  verified('whole', 'A whole run: five checkpoints, three attestations, everything attached.'),
  verified('rsa-key', 'The attestation key is RSA-2048 with RSASSA.', {
    draft: (draft) => (draft.hosts[0].tpm = rsaTpm(RSA_TEST_KEY)),
  }),
  verified('batch', 'Each head shares its quote with those of other runs: paths of different lengths.', {
    draft: (draft) => draft.quotes.forEach((quote, i) => (quote.batch = { others: 2 * i + 1, index: i })),
  }),
  verified('ek-certificate', 'The record carries the EK certificate that its environment names.', {
    draft: withCertificate,
  }),
  verified('nothing-attached', 'All blobs are named by digest only; what was not checked says so.', {
    draft: (draft) => (draft.contents = []),
  }),
  verified('trap', 'The guest ended by a trap.', {
    draft: (draft) => ((draft.outcome as { exit: Outcome['exit'] }).exit = { trap: 'unreachable' }),
  }),
  verified('policy-none', 'Only the first checkpoint, a requested one and the final one.', {
    draft(draft) {
      draft.computation.checkpoints = { kind: 'none' }
      for (const checkpoint of draft.checkpoints.slice(1, -1)) checkpoint.kind = 2
    },
  }),
  verified('requested-at-grid', 'A requested checkpoint where the one of the grid was: nothing ran in between.', {
    draft: ({ checkpoints }) => (checkpoints[2].position = '1003'),
  }),
  verified(
    'requested-before-grid',
    'A requested checkpoint after a multiple of the fuel, before the first place where one of the grid can be.',
    {
      draft({ checkpoints }) {
        checkpoints[2].position = '2005'
        checkpoints[3].position = '2010'
      },
    },
  ),
  verified('archive-mount', 'A library comes as an archive, and more PCRs are quoted than must be.', {
    draft(draft) {
      const blob = { lengthBytes: 123, sha256: '1'.repeat(64) }
      draft.computation.mounts.push({
        at: '/usr/lib/python3',
        output: false,
        source: { kind: 'archive', format: 'tar.gz', blob },
        writable: false,
      })
      draft.pcrs['10'] = nodeCrypto.sha256(utf8('pcr 10'))
    },
  }),
  verified(
    'other-signature-same-key',
    'ECDSA has two signatures for each message, and anyone can turn one into the other. Of the last attestation nothing that is shown depends on which one it is.',
    {
      signed({ attestations }) {
        const last = attestations[attestations.length - 1]
        const { scheme, signature } = decodeTpmtSignature(fromHex(last.signature))
        last.signature = hex(encodeTpmtSignature({ scheme, signature: otherEcdsa(signature) }))
      },
    },
  ),
  unverifiable('first-signed-alone', 'Only checkpoint 0 is signed.', ['UNSIGNED_TAIL'], {
    draft: (draft) => (draft.quotes.length = 1),
  }),
  unverifiable(
    'no-checkpoints',
    'A run that was killed before its first checkpoint was on disk.',
    ['FIRST_UNSIGNED', 'INCOMPLETE', 'UNSIGNED_TAIL'],
    {
      draft(draft) {
        draft.checkpoints.length = draft.quotes.length = 0
        draft.outcome = null
        draft.contents.splice(2, 2)
      },
    },
  ),
  unverifiable(
    'unsigned-tail',
    'The last attestation, and with it the signature over the outcome, is missing.',
    ['UNSIGNED_TAIL'],
    {
      signed: (signed) => void signed.attestations.pop(),
    },
  ),
  unverifiable(
    'incomplete',
    'The run was interrupted: all that is there is signed, and there is no end.',
    ['INCOMPLETE'],
    {
      draft: (draft) => stopAfter(draft, 2),
    },
  ),
  unverifiable(
    'first-unsigned',
    'The first quote covers checkpoint 2: nothing shows when the run began.',
    ['FIRST_UNSIGNED'],
    {
      draft: (draft) => void draft.quotes.shift(),
    },
  ),
  unverifiable('unsigned', 'No attestation at all.', ['FIRST_UNSIGNED', 'UNSIGNED_TAIL'], {
    draft: (draft) => (draft.quotes = []),
  }),
  unverifiable('semantics-unknown', 'A semantics of the future: all other checks still run.', ['SEMANTICS_UNKNOWN'], {
    draft: (draft) => (draft.computation.semantics = 'wasm/99'),
  }),
]
