/**
 * `node tools/ek-roots.ts FOLDER` makes the table of makers' roots for endorsement keys anew.
 *
 * FOLDER holds `roots.pem` and `intermediates.pem` (several certificates each) and `index.json`, a list of `{sha256, source}` of all of
 * them: certificates as makers publish them, collected by the projects that `source` names. What is taken, and as which tier, is
 * said here and in docs/decisions/0013-who-signed.md. An intermediate is taken when it chains to a root that is taken.
 */
import { hash, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import {
  type Certificate,
  decodeCertificate,
  EK_CERTIFICATE,
  type EkRootsFile,
  type Tier,
  verifyChain,
} from '@reprise/core/certificates'
import { nodeCrypto } from '@reprise/runner'

/** Counts up when what it is made from, or what is said here, changes. */
const VERSION = 1

interface Maker {
  readonly tier: Tier
  readonly why: string
  /** How the organisation in the subject of its roots begins. */
  readonly organisation: string
  /** How the sources begin that its roots are taken from. */
  readonly sources: readonly string[]
}

/** A maintained collection that follows what the makers publish, with evidence for each root. */
const BUNDLE = 'loicsikidi/tpm-ca-certificates '
/** The other collection in wide use. It alone has Intel's root for processors until about 2019, which lifts nothing to hardware. */
const KEYLIME_INTEL = 'keylime/keylime `tpm_cert_store/INTEL_RT.pem`'
const GOOGLE = 'google/go-tpm-tools '

const CHIP = 'a chip of its own, which does not give its keys to whoever holds the machine'
const ON_PROCESSOR = 'firmware on the processor or its chipset: as safe as that firmware, which can be replaced'
const IN_CLOUD = 'a program beside the hypervisor: the cloud has its keys, and moves them with the machine'

const MAKERS: Readonly<Record<string, Maker>> = {
  AMD: { tier: 'firmware', why: ON_PROCESSOR, organisation: 'Advanced Micro Devices', sources: [BUNDLE] },
  'Google Cloud': { tier: 'software', why: IN_CLOUD, organisation: 'Google LLC', sources: [GOOGLE] },
  Infineon: { tier: 'hardware', why: CHIP, organisation: 'Infineon Technologies AG', sources: [BUNDLE] },
  Intel: { tier: 'firmware', why: ON_PROCESSOR, organisation: 'Intel Corporation', sources: [BUNDLE, KEYLIME_INTEL] },
  Microsoft: { tier: 'firmware', why: ON_PROCESSOR, organisation: 'Microsoft Corporation', sources: [BUNDLE] },
  NSING: { tier: 'hardware', why: CHIP, organisation: 'NSING Technologies', sources: [BUNDLE] },
  Nuvoton: { tier: 'hardware', why: CHIP, organisation: 'Nuvoton Technology Corporation', sources: [BUNDLE] },
  STMicroelectronics: { tier: 'hardware', why: CHIP, organisation: 'STMicroelectronics NV', sources: [BUNDLE] },
}

/** Says its subject itself: for tests at its maker's. */
const NOT_FOR_USE = /DEBUG/

interface Candidate {
  readonly certificate: Certificate
  readonly sha256: string
  readonly source: string
}

/** @returns The file, with its entries in the order of their digests. */
async function makeFile(roots: readonly Candidate[], intermediates: readonly Candidate[]): Promise<EkRootsFile> {
  const taken = roots.flatMap((root) => {
    const maker = makerOf(root)
    return maker === undefined ? [] : [{ ...root, maker }]
  })
  const chained = await thoseThatChain(
    taken,
    intermediates.filter(({ certificate }) => !NOT_FOR_USE.test(certificate.subject.text)),
  )
  const entry = ({ certificate, sha256, source }: Candidate): EkRootsFile['intermediates'][number] => ({
    sha256,
    subject: certificate.subject.key,
    source,
    der: Buffer.from(certificate.der).toString('base64'),
  })
  const bySha256 = (a: Candidate, b: Candidate): number => (a.sha256 < b.sha256 ? -1 : 1)
  const makers = Object.entries(MAKERS).map(([name, { tier, why }]) => [name, { tier, why }])
  return {
    schema: 'reprise/ek-roots/v1',
    version: VERSION,
    makers: Object.fromEntries(makers) as EkRootsFile['makers'],
    roots: taken.sort(bySha256).map((root) => ({ maker: root.maker, ...entry(root) })),
    intermediates: chained.sort(bySha256).map(entry),
  }
}

function makerOf({ certificate, source }: Candidate): string | undefined {
  const { subject } = certificate
  if (NOT_FOR_USE.test(subject.text)) return undefined
  return Object.entries(MAKERS).find(
    ([, { organisation, sources }]) =>
      subject.text.includes(`O=${organisation}`) && sources.some((prefix) => source.startsWith(prefix)),
  )?.[0]
}

/** Issuers before what they issue, in as many rounds as it takes. */
async function thoseThatChain(roots: readonly Candidate[], intermediates: readonly Candidate[]): Promise<Candidate[]> {
  const chained: Candidate[] = []
  for (let issuers = roots; issuers.length > 0;) {
    const found: Candidate[] = []
    for (const candidate of intermediates)
      if (!chained.includes(candidate) && (await isIssuedByOneOf(candidate, issuers))) found.push(candidate)
    chained.push(...found)
    issuers = found
  }
  return chained
}

async function isIssuedByOneOf({ certificate }: Candidate, issuers: readonly Candidate[]): Promise<boolean> {
  for (const issuer of issuers) {
    if (issuer.certificate.subject.key !== certificate.issuer.key) continue
    const problems = await verifyChain([certificate], issuer.certificate, {
      crypto: nodeCrypto,
      usage: EK_CERTIFICATE,
      allowSha1: true,
    })
    // An authority need not say what it is for.
    if (problems.every(({ code, index }) => code === 'USAGE' && index === 0)) return true
  }
  return false
}

interface Source {
  readonly sha256: string
  readonly source: string
}

function candidates(path: string, sources: readonly Source[]): Candidate[] {
  const pems = readFileSync(path, 'utf8').match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  return pems.map((pem) => {
    const { raw } = new X509Certificate(pem)
    const sha256 = hash('sha256', raw)
    const source = sources.find((known) => known.sha256 === sha256)?.source
    if (source === undefined) throw new Error(`${path}: index.json does not name the source of ${sha256}`)
    return { certificate: decodeCertificate(raw, 'endorsement'), sha256, source }
  })
}

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: node tools/ek-roots.ts FOLDER')
const sources = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as readonly Source[]
const file = await makeFile(
  candidates(join(folder, 'roots.pem'), sources),
  candidates(join(folder, 'intermediates.pem'), sources),
)
const target = resolve(import.meta.dirname, '../packages/core/src/certificates/ek-roots/ek-roots.json')
writeFileSync(target, `${JSON.stringify(file, null, 1)}\n`)
console.log(`${file.roots.length} roots and ${file.intermediates.length} intermediates in ${target}`)
