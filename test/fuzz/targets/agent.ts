/** What an agent reads from its folder, and from whoever may open its socket. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { EvidenceError, utf8 } from '@reprise/core'
import { RecoveryError } from '@reprise/recovery'
import { decodeRequest } from '../../../packages/recovery/src/agent/control/requests.ts'
import { decodeContents, encodeContents, partsOf } from '../../../packages/recovery/src/agent/delivery/contents.ts'
import { CREDENTIALS_FILE, type CredentialsFile } from '../../../packages/recovery/src/agent/own/credentials.ts'
import { THIS_BOOT_FILE, type ThisBootFile } from '../../../packages/recovery/src/agent/own/roots.ts'
import { STATEMENTS_FILE, type StatementsFile } from '../../../packages/recovery/src/agent/plans.ts'
import { decodeState, encodeState, type StateFile } from '../../../packages/recovery/src/agent/state/folder.ts'
import { HOST_FILE, type HostFile } from '../../../packages/recovery/src/agent/state/host-file.ts'
import { OWNER_FILE, type OwnerFile } from '../../../packages/recovery/src/agent/state/owner-file.ts'
import { WITNESS_FILE, type WitnessFile } from '../../../packages/recovery/src/agent/state/witness-file.ts'
import { mutateBytes, mutateJson } from '../mutate.ts'
import { pick, type Random } from '../random.ts'
import { type FuzzTarget, unlessRefused } from '../target.ts'

const fill = (lengthBytes: number, value = 7): Uint8Array => new Uint8Array(lengthBytes).fill(value)
const counts = { resetCount: 3, restartCount: 0 }

const host: HostFile = {
  schema: 'reprise/recovery-host/v1',
  host: 'h1',
  tpm: { kind: 'device', path: '/dev/tpmrm0' },
  storageKey: fill(90),
  ak: { unique: fill(32), handle: 0x81008001, public: fill(88) },
}
const owner: OwnerFile = {
  schema: 'reprise/recovery-owner/v1',
  heartbeat: { clock: 5000n, ...counts },
  basis: 'ab'.repeat(32),
  succession: [{ after: 1, epoch: 2, leaseKey: fill(65), signature: fill(64) }],
}
const witness: WitnessFile = {
  schema: 'reprise/recovery-witness/v1',
  rosterVersion: 4,
  cycle: { ...counts, startedClockMs: 10, offsetMs: 0, lastShutdown: 'clean' },
  revoked: ['h9'],
  wards: [
    {
      ...{ host: 'h2', ak: `000b${'1'.repeat(64)}`, committed: 2, roundTripsMs: [0.25, 3] },
      heartbeat: { clockMs: 9, wallMs: 1_700_000_000_000 },
      seen: { clockMs: 8, ...counts },
      shares: [{ epoch: 2, index: 0, leaseKey: fill(65), private: fill(100), public: fill(80) }],
    },
  ],
}

const thisBoot: ThisBootFile = {
  schema: 'reprise/recovery-this-boot/v1',
  registers: [{ pcr: 4, value: fill(32) }],
  resetCount: 3,
  roots: [{ epoch: 2, private: fill(100), public: fill(80) }],
}
const credentials: CredentialsFile = {
  schema: 'reprise/recovery-credentials/v1',
  taken: { statement: fill(32), madeMs: 1_700_000_000_000 },
  entries: [{ name: 'key', sealed: fill(40) }],
}
const statements: StatementsFile = {
  schema: 'reprise/recovery-statements/v1',
  statements: [{ digest: fill(32), signed: fill(300) }],
}

interface Sample {
  readonly file: StateFile<object>
  readonly text: string
}

const samples: readonly Sample[] = [
  { file: HOST_FILE, content: host },
  { file: OWNER_FILE, content: owner },
  { file: WITNESS_FILE, content: witness },
  { file: THIS_BOOT_FILE, content: thisBoot },
  { file: CREDENTIALS_FILE, content: credentials },
  { file: STATEMENTS_FILE, content: statements },
].map(({ file, content }) => ({ file, text: Buffer.from(encodeState(file, content)).toString() }))

const requests = [
  '{"ask":"status"}',
  '{"ask":"plan","path":"/tmp/plan.json"}',
  '{"ask":"provision","credentials":[{"name":"key","path":"/k"}],"imageKeys":[{"version":3,"path":"/i"}]}',
  '{"ask":"deliver","to":"b2","statement":"/s","credentials":[{"name":"key","path":"/k"}],"imageKeys":[],"timeoutMs":120000,"roundTripMs":50}',
  '{"ask":"offer","fleet":"shop","registers":[4,7]}',
  '{"ask":"release","statements":["/a","/b"]}',
]

function changed(random: Random, text: string, donors: readonly string[]): Uint8Array {
  if (random(3) === 0) return mutateBytes(random, utf8(text), donors.map(utf8))
  try {
    return utf8(JSON.stringify(mutateJson(random, JSON.parse(text), JSON.parse(pick(random, donors)))))
  } catch (error) {
    if (error instanceof EvidenceError || error instanceof TypeError) return utf8(text)
    throw error
  }
}

export const agentFiles: FuzzTarget = {
  name: 'agent-files',
  claim: 'a file of an agent is refused by its path, or comes out again as it was read',
  byDay: 20_000,
  prepare: async () => (random) => {
    const { file, text } = pick(random, samples)
    const content = changed(
      random,
      text,
      samples.map((sample) => sample.text),
    )
    const decoded = unlessRefused(RecoveryError, () => decodeState('/state/file', content, file))
    if (decoded === undefined) return
    deepStrictEqual(decodeState('/state/file', encodeState(file, decoded), file), decoded)
  },
}

export const agentRequests: FuzzTarget = {
  name: 'agent-requests',
  claim: 'a line at the socket of an agent is refused, or is one of the questions',
  byDay: 30_000,
  prepare: async () => (random) => {
    const line = Buffer.from(changed(random, pick(random, requests), requests)).toString()
    const request = unlessRefused(RecoveryError, () => decodeRequest(line))
    if (request !== undefined) deepStrictEqual(decodeRequest(JSON.stringify(request)), request)
  },
}

const deliveries = [
  '{"credentials":[],"imageKeys":[],"schema":"reprise/recovery-delivery/v1"}',
  `{"credentials":[{"bytes":"00ff","name":"database-key"},{"bytes":"","name":"b"}],"imageKeys":[{"key":"${'ab'.repeat(32)}","version":3},{"key":"${'cd'.repeat(32)}","version":4}],"schema":"reprise/recovery-delivery/v1"}`,
]

export const agentDeliveries: FuzzTarget = {
  name: 'agent-deliveries',
  claim: 'what one host delivers to another is refused, or is what comes out of its parts again',
  byDay: 20_000,
  prepare: async () => (random) => {
    const content = changed(random, pick(random, deliveries), deliveries)
    const taken = unlessRefused(RecoveryError, () => decodeContents(content))
    if (taken === undefined) return
    using contents = taken
    using again = encodeContents(contents)
    strictEqual(Buffer.compare(Buffer.concat(partsOf(again)), content), 0, 'a delivery in another spelling was taken')
  },
}
