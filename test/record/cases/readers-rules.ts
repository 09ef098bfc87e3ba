/** Hosts before a reader who has rules of his own, and knows what the key of the host is good for. */
import { hex, utf8, type FindingCode, type HostRules, type VerifyResult } from '@reprise/core'
import { nameOf } from '../enrolment.ts'
import { eccTpm } from '../imitation-tpm.ts'
import { nodeCrypto } from '../node-crypto.ts'
import { allRules, FILES, HONEST, imaList, measured, OFF, ownLog } from '../measured-host.ts'
import type { Draft } from '../sample.ts'
import { record, type RecordCase } from './case.ts'

const KNOWN = {
  schema: 'reprise/trust/v1',
  attestationKeys: [{ name: hex(nameOf(eccTpm('host 0'))), tier: 'firmware' }],
}

const json = (value: object): Uint8Array => utf8(`${JSON.stringify(value, null, 2)}\n`)

function judged(
  name: string,
  why: string,
  expected: { readonly evidence: VerifyResult['evidence']; readonly codes: readonly FindingCode[] },
  parts: { readonly draft: (draft: Draft) => void; readonly rules: HostRules; readonly trust?: object },
): RecordCase {
  const { draft, rules, trust = KNOWN } = parts
  const beside = { 'host-rules.json': json(rules), 'trust.json': json(trust) }
  return { name, why, expected, make: record({ draft }), beside }
}

const ima = imaList(FILES)

function ofFirmware({ attempts, computation }: Draft): void {
  computation.host = { onChange: 'stop', tier: 'firmware' }
  for (const { environment } of attempts) environment.tpm.transport = 'device'
}

/** One quote shows another value of the register of IMA than the list comes to. */
function runtime(draft: Draft, odd: number): void {
  measured(draft, { boot: HONEST, own: ownLog(), ima: ima.bytes })
  draft.pcrs['10'] = ima.register
  draft.quotes[odd].pcrs = { '10': nodeCrypto.sha256(ima.register) }
}

export const readersRulesCases: readonly RecordCase[] = [
  judged(
    'measurer-boot',
    'The reader knows the key, and the host meets the rules that the reader brings: boot loaders, kernel, command line, engines.',
    { evidence: 'verified', codes: [] },
    { draft: (draft) => measured(draft, { boot: HONEST, own: ownLog() }), rules: allRules() },
  ),
  judged(
    'measurer-runtime',
    'Besides, a list of IMA holds every file of the engine.',
    { evidence: 'verified', codes: [] },
    {
      draft(draft) {
        measured(draft, { boot: HONEST, own: ownLog(), ima: ima.bytes })
        draft.pcrs['10'] = ima.register
      },
      rules: allRules(),
    },
  ),
  judged(
    'measurer-list-outgrown',
    'The list of IMA covers the first quotes, and not the last one: what ran in between is in no list.',
    { evidence: 'verified', codes: [] },
    { draft: (draft) => runtime(draft, 2), rules: allRules() },
  ),
  judged(
    'measurer-list-late',
    'The list of IMA covers the quotes from the second one on.',
    { evidence: 'verified', codes: [] },
    { draft: (draft) => runtime(draft, 0), rules: allRules() },
  ),
  {
    name: 'measurer-without-rules',
    why: 'The reader knows the key, and brings no rules: nothing counts as measured.',
    expected: { evidence: 'verified', codes: [], tier: 'firmware' },
    make: record({ draft: (draft) => measured(draft, { boot: HONEST, own: ownLog() }) }),
    beside: { 'trust.json': json(KNOWN) },
  },
  judged(
    'measurer-without-engines',
    'The rules of the reader name no engine: what it says of itself may be anything.',
    { evidence: 'verified', codes: [] },
    {
      draft: (draft) => measured(draft, { boot: HONEST, own: ownLog() }),
      rules: { eventLog: HONEST.expected.rules ?? [], onChange: 'stop' },
    },
  ),
  {
    name: 'rule-tier-known',
    why: 'The computation demands a TPM in firmware, of a chip by its host’s word; the reader knows the key as one.',
    expected: { evidence: 'verified', codes: [], tier: 'firmware' },
    make: record({ draft: ofFirmware }),
    beside: { 'trust.json': json(KNOWN) },
  },
  {
    name: 'rule-tier-unknown_fail',
    why: 'The computation demands a TPM in firmware, and the reader knows nobody who vouches for one. Another reader may.',
    expected: { evidence: 'unverifiable', codes: ['HOST_RULE_UNKNOWN'] },
    make: record({ draft: ofFirmware }),
  },
  judged(
    'host-policy_fail',
    'The reader wants Secure Boot, and it was off.',
    { evidence: 'unverifiable', codes: ['HOST_POLICY'] },
    {
      draft: (draft) => measured(draft, { boot: OFF, own: ownLog() }),
      rules: { eventLog: [{ kind: 'secureBoot', state: 'on' }], onChange: 'stop' },
    },
  ),
  judged(
    'host-policy-tier_fail',
    'The reader wants a chip, and knows the key as one in firmware.',
    { evidence: 'unverifiable', codes: ['HOST_POLICY'] },
    {
      draft: (draft) => measured(draft, { boot: HONEST, own: ownLog() }),
      rules: { onChange: 'stop', tier: 'hardware' },
    },
  ),
]
