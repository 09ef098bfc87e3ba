import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type EvidenceError, hex, utf8 } from '@reprise/core'
import { readTrustPolicy, type TrustPolicy } from '@reprise/core/certificates'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { filesOf, hostCertificate, LAB, MAKER, pem, policy, ROOT, revocationList } from '../record/enrolment.ts'
import { nodeCrypto } from '../record/node-crypto.ts'

const files: Readonly<Record<string, Uint8Array>> = filesOf({
  trust: policy(),
  files: {
    'root.der': ROOT.der,
    'two.pem': utf8(pem(ROOT.der) + pem(LAB.der)),
    'host.pem': utf8(pem(hostCertificate())),
    'list.json': revocationList(),
    'dash.pem': new Uint8Array([0x2d, 0xff, 0xfe]),
  },
})

async function read(value: unknown): Promise<TrustPolicy> {
  const file = typeof value === 'string' ? utf8(value) : utf8(JSON.stringify(value))
  const readBeside = async (name: string): Promise<Uint8Array> => files[name] ?? Promise.reject(new Error(`no ${name}`))
  return readTrustPolicy(file, { readBeside, crypto: nodeCrypto })
}

const schema = 'reprise/trust/v1'
const name = `000b${'7'.repeat(64)}`

/** What the schema for editors refuses as well. */
const SHAPES: readonly [what: string, policy: unknown, message: RegExp][] = [
  ['another schema', { schema: 'reprise/trust/v2' }, /\$\.schema/],
  ['no schema', {}, /\$\.schema/],
  ['a list instead of an object', [], /\$ is not an object/],
  ['a field that is not known', { schema, authority: [] }, /\$\.authority is not a field/],
  ['a tier that there is not', { schema, minimumTier: 'high' }, /\$\.minimumTier/],
  ['a measurer that there is not', { schema, requireMeasurer: 'yes' }, /\$\.requireMeasurer/],
  ['a key that is none', { schema, attestationKeys: [{ name: '000b12' }] }, /\$\.attestationKeys\[0\]\.name/],
  ['a key in upper case', { schema, attestationKeys: [{ name: name.replace('b', 'B') }] }, /\$\.attestationKeys\[0\]/],
  ['neither file nor pem', { schema, authorities: [{}] }, /\$\.authorities\[0\] names neither/],
  ['both file and pem', { schema, authorities: [{ file: 'root.der', pem: pem(ROOT.der) }] }, /\$\.authorities\[0\]/],
  ['an age of nothing', { schema, revocationsMaximumAgeHours: 0 }, /\$\.revocationsMaximumAgeHours/],
  [
    'an endorsement root without a tier',
    { schema, endorsementRoots: [{ certificate: { file: 'maker.pem' } }] },
    /tier/,
  ],
  ['more authorities than are read', { schema, authorities: Array.from({ length: 257 }, () => ({})) }, /at most 256/],
]

/** What it cannot see. */
const CONTENTS: readonly [what: string, policy: unknown, message: RegExp][] = [
  ['text that is not JSON', '{', /not JSON/],
  ['bytes that are not UTF-8', '\ud800', /not JSON|not UTF-8|schema/],
  ['a name that stands twice', `{"schema":"${schema}","minimumTier":"hardware","minimumTier":"software"}`, /twice/],
  [
    'a name that stands twice in another spelling',
    `{"schema":"${schema}","minimumTier":"hardware","minimum\\u0054ier":"software"}`,
    /twice/,
  ],
  ['a path that leaves the folder', { schema, authorities: [{ file: '../root.pem' }] }, /\$\.authorities\[0\]\.file/],
  ['an absolute path', { schema, authorities: [{ file: '/root.pem' }] }, /\$\.authorities\[0\]\.file/],
  ['two certificates in one file', { schema, authorities: [{ file: 'two.pem' }] }, /holds 2 certificates/],
  ['a certificate of a host', { schema, authorities: [{ file: 'host.pem' }] }, /no certificate of an authority/],
  ['a file that is no certificate', { schema, authorities: [{ file: 'list.json' }] }, /\$\.authorities\[0\]/],
  [
    'a file that begins as PEM and is not text',
    { schema, authorities: [{ file: 'dash.pem' }] },
    /\$\.authorities\[0\]/,
  ],
  ['two certificates in its place', pem(ROOT.der) + pem(LAB.der), /\$: .*holds 2 certificates/],
  ['a certificate of a host in its place', pem(hostCertificate()), /no certificate of an authority/],
  ['what only begins as PEM in its place', '-', /holds 0 certificates/],
  [
    'PEM with letters that are not base64',
    { schema, authorities: [{ pem: pem(ROOT.der).replace('M', '*') }] },
    /base64/,
  ],
]

describe('readTrustPolicy', () => {
  test('takes the certificate of an authority as a policy of nothing else', async () => {
    const { authorities, ...rest } = await read(pem(ROOT.der))
    expect(authorities.map(({ der }) => hex(der))).toEqual([hex(ROOT.der)])
    expect(rest).toEqual({ attestationKeys: [], revocations: [], endorsementRoots: [] })
  })

  test('takes all that there is to say', async () => {
    const read1 = await read({
      schema,
      authorities: [{ file: 'lab-root.pem' }, { pem: pem(LAB.der) }, { file: 'root.der' }],
      attestationKeys: [{ name }, { name: name.replace('7', '8'), tier: 'hardware' }],
      minimumTier: 'firmware',
      requireMeasurer: 'boot',
      revocations: [{ file: 'list.json' }],
      revocationsMaximumAgeHours: 24,
      endorsementRoots: [{ certificate: { file: 'maker.pem' }, tier: 'firmware' }],
    })
    expect(read1.authorities.map(({ der }) => hex(der))).toEqual([ROOT.der, LAB.der, ROOT.der].map(hex))
    expect(read1).toMatchObject({
      attestationKeys: [{ name }, { tier: 'hardware' }],
      minimumTier: 'firmware',
      requireMeasurer: 'boot',
      revocationsMaximumAgeMs: 86_400_000,
      endorsementRoots: [{ tier: 'firmware' }],
    })
    expect(hex(read1.endorsementRoots[0].certificate.der)).toBe(hex(MAKER.der))
    expect(read1.revocations).toMatchObject([{ kind: 'signed', name: 'list.json', list: { number: 7, revoked: [] } }])
  })

  test('takes one that asks for nothing', async () => {
    expect(await read({ schema })).toEqual({
      authorities: [],
      attestationKeys: [],
      revocations: [],
      endorsementRoots: [],
    })
  })

  test('keeps a list of an authority that it does not name as one that cannot be used', async () => {
    const { revocations } = await read({ schema, revocations: [{ file: 'list.json' }] })
    expect(revocations).toMatchObject([{ kind: 'unusable', name: 'list.json' }])
  })

  test.each([...SHAPES, ...CONTENTS])('refuses %s', async (_what, value, message) => {
    const error = await read(value).then(
      () => expect.fail('it was taken'),
      (thrown: EvidenceError) => thrown,
    )
    expect(error.message).toMatch(message)
    expect(['STRUCTURE', 'LIMIT']).toContain(error.code)
  })

  test('throws what reading a file throws', async () => {
    await expect(read({ schema, revocations: [{ file: 'gone.json' }] })).rejects.toThrow('no gone.json')
  })
})

test('spec/trust.schema.json knows the policies that are taken, and refuses what it can see is wrong', () => {
  const spec = resolve(import.meta.dirname, '../../spec')
  const schemaFile = readFileSync(resolve(spec, 'trust.schema.json'), 'utf8')
  const validate = new Ajv2020({ strict: true }).compile(JSON.parse(schemaFile) as object)
  for (const [what, value] of SHAPES) expect([what, validate(value)]).toEqual([what, false])
  const examples = [resolve(spec, '../docs/trust.md'), resolve(spec, 'certificates.md')].map((path) => {
    const [example] = /\{\s+"schema": "reprise\/trust\/v1"[^]*?\n *\}\n/.exec(readFileSync(path, 'utf8')) ?? ['']
    return JSON.parse(example.replaceAll('000b…', name)) as unknown
  })
  for (const example of [...examples, policy(), { schema }])
    expect([validate(example), validate.errors]).toEqual([true, null])
})
