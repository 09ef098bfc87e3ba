/** How this host is right now: its logs, what it measured of itself, and a quote over the registers that both need. Rules: spec/host.md §1 to §3. */
import { randomBytes } from 'node:crypto'
import {
  assessHost,
  assessIma,
  attestDigest,
  decodeTpmsAttest,
  equal,
  fromHex,
  pcrDigest,
  quotedOf,
  readBootLog,
  readImaList,
  readOwnLog,
  TPM_ST,
  utf8,
  wantedRegisters,
  type HostLogs,
  type HostRules,
  type HostState,
  type ImaState,
  type Quoted,
  type ReadLog,
} from '@reprise/core'
import {
  findLog,
  HostError,
  logPlaces,
  measureHost,
  type FoundLog,
  type HostQuote,
  type LogPlaces,
  type Signer,
} from '@reprise/host'
import { REWRITER_VERSION } from '@reprise/wasm'
import { nodeCrypto } from '../crypto.ts'
import { runnerFolders } from '../home.ts'
import { REPRISE_VERSION } from '../version.ts'

const { hash, sha256 } = nodeCrypto

/** A file that was measured between reading the list and quoting its register makes the list too short: it is read again. */
const READINGS_MAX = 5

export interface LookRequest {
  readonly signer: Signer
  readonly home: string
  /** Registers that these name are quoted as well. */
  readonly rules?: HostRules | undefined
  /** Whether a quote is wanted in any case; one is taken where there is a list of IMA. */
  readonly quote: boolean
  readonly signal?: AbortSignal | undefined
}

export interface HostLook {
  /** What was found, in the order of its kinds. */
  readonly found: readonly FoundLog[]
  readonly logs: HostLogs
  readonly quote: TakenQuote | undefined
}

export interface TakenQuote extends HostQuote {
  readonly nonce: Uint8Array
  readonly quoted: Quoted
  readonly state: HostState
  readonly ima: ImaState
}

/** @throws {@link HostError} as the signer does; `TPM_FAILED` for a quote that is not what was asked for. */
export async function lookAtHost(request: LookRequest): Promise<HostLook> {
  const places = logPlaces(request.signer.host.tpm.transport)
  const own = await ownLog(request)
  const boot = await findLog('boot', places)
  for (let reading = 1; ; reading++) {
    const ima = await findLog('ima', places)
    const found = [boot, ima, own].filter((each) => each !== undefined)
    const logs = hostLogs(found, places)
    const isWanted = request.quote || logs.ima.kind === 'read'
    const quote = isWanted ? await takeQuote(request, logs) : undefined
    const isShort = quote?.ima.kind === 'read' && quote.ima.coverage === undefined
    if (!isShort || reading === READINGS_MAX) return { found, logs, quote }
  }
}

async function ownLog({ signer, home, signal }: LookRequest): Promise<FoundLog> {
  const measured = await measureHost({
    reprise: REPRISE_VERSION,
    rewriter: REWRITER_VERSION,
    cacheFolder: runnerFolders(home).cache,
  })
  try {
    const text = await signer.measure(measured, signal === undefined ? {} : { signal })
    return { kind: 'own', bytes: utf8(text), source: 'host' }
  } catch (error) {
    if (!(error instanceof HostError) || error.code !== 'LIMIT') throw error
    return { kind: 'own', leftOut: 'too-large', why: error.message }
  }
}

function hostLogs(found: readonly FoundLog[], places: LogPlaces): HostLogs {
  const read = <T>(kind: FoundLog['kind'], absent: string, decode: (bytes: Uint8Array) => ReadLog<T>): ReadLog<T> => {
    const log = found.find((each) => each.kind === kind)
    if (log === undefined) return { kind: 'absent', why: absent }
    return 'bytes' in log ? decode(log.bytes) : { kind: 'absent', why: `it was left out (${log.leftOut}): ${log.why}` }
  }
  const absent = (kind: keyof LogPlaces): string =>
    places[kind] === null ? 'a software TPM has none' : `there is no ${places[kind].path}`
  return {
    boot: read('boot', absent('boot'), (bytes) => readBootLog(bytes, hash)),
    ima: read('ima', absent('ima'), readImaList),
    own: read('own', 'there is none', (bytes) => readOwnLog(bytes, hash)),
  }
}

async function takeQuote({ signer, rules, signal }: LookRequest, logs: HostLogs): Promise<TakenQuote> {
  const nonce = new Uint8Array(randomBytes(32))
  const pcrs = wantedRegisters(logs, rules)
  const quote = await signer.attest({ nonce, pcrs }, signal === undefined ? {} : { signal })
  const attest = decodeTpmsAttest(quote.attest)
  const expected = attestDigest({ hostId: signer.host.hostId, nonce }, sha256)
  const isQuote = attest.type === TPM_ST.ATTEST_QUOTE && equal(attest.extraData, expected)
  const banks = { sha256: Object.fromEntries(Object.entries(quote.pcrs).map(([pcr, value]) => [pcr, fromHex(value)])) }
  const digest = isQuote
    ? pcrDigest({ hash, algorithm: 'sha256', selection: attest.attested.pcrSelect, banks })
    : undefined
  if (!isQuote || digest === undefined || !equal(digest, attest.attested.pcrDigest))
    throw new HostError('TPM_FAILED', { message: 'The signer gave another quote than was asked for.' })
  const quoted = quotedOf(quote.pcrs, attest.clockInfo)
  return {
    ...quote,
    nonce,
    quoted,
    state: assessHost(logs, quoted, hash),
    ima: assessIma(logs.ima, quoted, hash),
  }
}
