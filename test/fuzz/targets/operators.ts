/** What operators and auditors read from files that anybody may have had. */
import { deepStrictEqual, equal, ok } from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { canonical, encodeTpmsAttest, hex, utf8 } from '@reprise/core'
import { type Plan, RecoveryError } from '@reprise/recovery'
import { auditLogs } from '@reprise/recovery/audit'
import {
  checkOffer,
  isEncryptedKey,
  makeOffer,
  parseSignedPlan,
  readBoots,
  readKey,
  readReleaseRequest,
  readSignedPlan,
  readStatement,
  readUpdate,
} from '@reprise/recovery/operators'
import { readAnswers } from '../../../packages/recovery/src/operators/release.ts'
import { verifierOf } from '../../../packages/recovery/src/operators/signatures.ts'
import { eccTpm, type ImitationTpm, quoteFields } from '../../record/imitation-tpm.ts'
import { mutateBytes, mutateCanonical } from '../mutate.ts'
import { pick, type Random } from '../random.ts'
import type { FuzzTarget } from '../target.ts'

const vectors = resolve(import.meta.dirname, '../../../vectors/recovery/operators/expected.json')
const samples = JSON.parse(readFileSync(vectors, 'utf8')) as {
  readonly signed: string
  readonly planDigest: string
  readonly statements: readonly { readonly file: string; readonly digest: string }[]
  readonly audit: { readonly text: string }
}

const released = JSON.parse(
  readFileSync(resolve(import.meta.dirname, '../../../vectors/recovery/release-answers/input.json'), 'utf8'),
) as {
  readonly akName: string
  readonly request: string
  readonly answers: readonly string[]
  /** Of the first operator, to another request. */
  readonly elsewhere: string
  readonly key: string
  readonly encryptedKey: string
  readonly passphrase: string
}

async function unlessRefused<T>(read: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof RecoveryError) return undefined
    throw error
  }
}

export const recoverySignedPlans: FuzzTarget = {
  name: 'recovery-signed-plan',
  claim: 'a changed signed plan is refused, or is the plan that operators signed',
  byDay: 400,
  prepare() {
    const { plan } = readSignedPlan(utf8(samples.signed))
    const known = { kind: 'plan', plan: { ...plan, roster: { ...plan.roster, version: 8 } } } as const
    return Promise.resolve(async (random) => {
      const bytes = mutateCanonical(random, samples.signed, [samples.signed])
      const signed = await unlessRefused(() => readSignedPlan(bytes, known))
      if (signed !== undefined) equal(hex(signed.digest), samples.planDigest)
      await unlessRefused(() => parseSignedPlan(bytes))
    })
  },
}

export const recoveryStatements: FuzzTarget = {
  name: 'recovery-statement',
  claim: 'a changed statement of operators is refused, or is one that they signed',
  byDay: 1500,
  prepare() {
    const { plan } = readSignedPlan(utf8(samples.signed))
    const texts = samples.statements.map(({ file }) => Buffer.from(file, 'hex').toString())
    return Promise.resolve(async (random) => {
      const bytes = mutateCanonical(random, pick(random, texts), texts)
      const read = await unlessRefused(() => readStatement(bytes, plan))
      if (read !== undefined) ok(samples.statements.some(({ digest }) => digest === hex(read.digest)))
    })
  },
}

function quoteOf(tpm: ImitationTpm, extraData: Uint8Array, pcrs: Readonly<Record<string, Uint8Array>>) {
  const clockInfo = { clock: 1n, resetCount: 1, restartCount: 0, safe: true }
  const attest = encodeTpmsAttest(quoteFields(tpm, { extraData, clockInfo, pcrs }))
  return { attest, signature: tpm.sign(attest) }
}

export const recoveryOffers: FuzzTarget = {
  name: 'recovery-offer',
  claim: 'a changed offer is refused, or says what its attestation key signed',
  byDay: 800,
  async prepare() {
    const tpm = eccTpm('offer')
    const pcrs = { 4: new Uint8Array(32).fill(4), 14: new Uint8Array(32) }
    const facts = { fleet: 'lab', host: 'web-1', akPublic: tpm.publicArea, storageKey: new Uint8Array(90) }
    const offer = await makeOffer({ ...facts, approvals: 7n }, async (statement) => ({
      ...quoteOf(tpm, statement, pcrs),
      registers: new Map(Object.entries(pcrs).map(([pcr, value]) => [Number(pcr), value])),
    }))
    const text = Buffer.from(offer).toString().trimEnd()
    const { offer: whole } = await checkOffer(offer, 'sample')
    return async (random) => {
      const bytes = mutateCanonical(random, text, [text])
      const read = await unlessRefused(() => checkOffer(bytes, 'sample'))
      // Certificates prove themselves.
      if (read !== undefined)
        deepStrictEqual(
          { ...read.offer, certificates: [], ekCertificate: undefined },
          { ...whole, certificates: [], ekCertificate: undefined },
        )
    }
  },
}

/** The plan of the samples, in which web-1 has that attestation key. */
function planWith(ak: string): Plan {
  const { plan } = readSignedPlan(utf8(samples.signed))
  const hosts = plan.roster.hosts.map((host) => (host.id === 'web-1' ? { ...host, ak } : host))
  return { ...plan, roster: { ...plan.roster, hosts } }
}

export const recoveryRequests: FuzzTarget = {
  name: 'recovery-release-request',
  claim: 'a changed request for a release is refused, or asks what the host asked',
  byDay: 800,
  async prepare() {
    const { akName, request: text } = released
    const plan = planWith(akName)
    const { asked } = await readReleaseRequest(utf8(text), plan)
    return async (random) => {
      const bytes = mutateCanonical(random, text, [text])
      const read = await unlessRefused(() => readReleaseRequest(bytes, plan))
      if (read !== undefined) deepStrictEqual(read.asked, asked)
    }
  },
}

export const recoveryAnswers: FuzzTarget = {
  name: 'recovery-release-answer',
  claim: 'a changed answer of an operator is refused, or is what an operator signed for this request',
  byDay: 800,
  async prepare() {
    const { akName, request, answers, elsewhere } = released
    const { asked, digest } = await readReleaseRequest(utf8(request), planWith(akName))
    const files = answers.map(utf8)
    const whole = [readAnswers([files[0], files[1]], asked, digest), readAnswers([files[2], files[1]], asked, digest)]
    return async (random) => {
      const bytes = mutateCanonical(random, answers[0], [...answers, elsewhere])
      const read = await unlessRefused(() => readAnswers([bytes, files[1]], asked, digest))
      if (read !== undefined) ok(whole.some((each) => isDeepStrictEqual(each, read)))
    }
  },
}

export const recoveryKeys: FuzzTarget = {
  name: 'recovery-key',
  claim: 'a changed key of a person is refused, with nothing of it in the words, or signs what its point verifies',
  byDay: 1500,
  prepare() {
    const { key: plain, encryptedKey, passphrase } = released
    const samples = [plain, encryptedKey].map(utf8)
    const lines = plain.trimEnd().split('\n').slice(1, -1)
    const message = utf8('message')
    return Promise.resolve((random) => {
      const sample = pick(random, samples)
      const bytes = random(2) === 0 ? mutateBytes(random, sample, samples) : mutatePem(random, sample)
      try {
        const key = readKey(bytes, 'sample', isEncryptedKey(bytes) ? passphrase : undefined)
        ok(verifierOf(key.point)(message, key.sign(message)))
      } catch (error) {
        if (!(error instanceof RecoveryError)) throw error
        ok(lines.every((line) => !`${error.message} ${error.hint}`.includes(line)))
      }
    })
  },
}

/** What the letters stand for, changed. */
function mutatePem(random: Random, pem: Uint8Array): Uint8Array {
  const [first, ...lines] = Buffer.from(pem).toString().trimEnd().split('\n')
  const last = lines.pop()
  const der = new Uint8Array(Buffer.from(lines.join(''), 'base64'))
  const body =
    Buffer.from(mutateBytes(random, der, [der]))
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return utf8([first, ...body, last, ''].join('\n'))
}

export const recoveryAudits: FuzzTarget = {
  name: 'recovery-audit',
  claim: 'of a changed log every entry but the last that is read is a true one',
  byDay: 1500,
  async prepare() {
    const { text } = samples.audit
    const input = (content: Uint8Array) => [{ log: 'sample', content }]
    const whole = (await auditLogs(input(utf8(text)), undefined)).logs[0].entries
    const lines = text.trimEnd().split('\n')
    return async (random) => {
      const at = random(lines.length)
      const line = mutateCanonical(random, lines[at], lines)
      const parts = [...lines.slice(0, at), Buffer.from(line).toString('latin1'), ...lines.slice(at + 1)]
      const content = Buffer.from(`${parts.join('\n')}\n`, 'latin1')
      const { logs, problems } = await auditLogs(input(new Uint8Array(content)), undefined)
      const { entries } = logs[0]
      const trusted = entries.slice(0, -1)
      deepStrictEqual(trusted, whole.slice(0, trusted.length))
      ok(entries.length === whole.length || problems.length > 0)
    }
  },
}

const COMPONENTS = canonical({
  schema: 'reprise/firmware-components/v1',
  name: 'bios',
  components: [
    { name: 'crtm', pcr: 0, type: 'EV_S_CRTM_VERSION', nth: 0, with: '01'.repeat(32) },
    { replaces: '02'.repeat(32), with: '03'.repeat(32) },
  ],
})
const BOOTS = canonical({
  schema: 'reprise/recovery-boots/v1',
  boots: [{ name: 'one', registers: [{ pcr: 4, value: '04'.repeat(32) }], hosts: ['web-1'] }],
})

export const recoveryUpdates: FuzzTarget = {
  name: 'recovery-update',
  claim: 'changed components and boots are refused or read, and nothing else',
  byDay: 1000,
  prepare() {
    return Promise.resolve(async (random) => {
      const bytes = mutateCanonical(random, pick(random, [COMPONENTS, BOOTS]), [COMPONENTS, BOOTS])
      await unlessRefused(() => readUpdate(bytes, 'sample'))
      await unlessRefused(() => readBoots(bytes, 'sample'))
    })
  },
}
