/** A host with a measured boot, a list of IMA and a log of its own, for drafts: what it shows and what its TPM quotes are one. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import {
  concat,
  encodeOwnLog,
  engineDigest,
  fromHex,
  hex,
  OWN_LOG_PCR,
  ownLogValues,
  utf8,
  type EventLogRule,
  type HostRules,
  type OwnLog,
} from '@reprise/core'
import { nodeCrypto } from './node-crypto.ts'
import { blobRef, type Draft } from './sample.ts'

const { hash, sha256 } = nodeCrypto

const folder = resolve(import.meta.dirname, '../../vectors/event-log')

interface BootVector {
  readonly quoted: { readonly sha256: Readonly<Record<string, string>> }
  readonly rules: readonly EventLogRule[]
}

function vector(name: string): { readonly log: Uint8Array; readonly expected: BootVector } {
  return {
    log: new Uint8Array(readFileSync(resolve(folder, name, 'input.bin'))),
    expected: JSON.parse(readFileSync(resolve(folder, name, 'expected.json'), 'utf8')) as BootVector,
  }
}

/** A boot with Secure Boot on, and one with it off; made by tools/event-log-vectors.ts. */
export const HONEST = vector('honest')
export const OFF = vector('secure-boot-off')

const engineFiles = ['main.js', 'engine.worker.js']
  .toSorted()
  .map((name) => ({ name, sha256: hex(sha256(utf8(name))) }))
export const ENGINE = engineDigest(engineFiles, sha256)
export const NODE = hex(sha256(utf8('node')))

export function ownLog(change: (log: { -readonly [K in keyof OwnLog]: OwnLog[K] }) => void = () => undefined): OwnLog {
  const log = {
    begin: { kind: 'begin' as const, register: '00'.repeat(32), resetCount: 7, restartCount: 1 },
    measurements: [
      {
        kind: 'host' as const,
        architecture: 'x64',
        bootId: '7c6f1a52-8a38-4f0a-9a5d-5d6f7a1f2c11',
        cpu: { features: ['avx2', 'sse2'], model: 'a CPU' },
        kernel: '6.1.0',
        platform: 'linux',
      },
      { kind: 'engine' as const, files: engineFiles, form: 'bundle' as const, sha256: ENGINE, version: '0.1.0' },
      { kind: 'node' as const, sha256: NODE, v8: '14.0', version: '26.10.0' },
      { kind: 'rewriter' as const, version: '1' },
    ],
  }
  change(log)
  return log
}

const u32le = (value: number): Uint8Array => Uint8Array.of(value, value >> 8, value >> 16, value >> 24)
const sized = (bytes: Uint8Array): Uint8Array => concat(u32le(bytes.length), bytes)

/** A list of IMA that measured these files: name and content. */
export function imaList(
  files: readonly (readonly [string, Uint8Array])[],
  pcr = 10,
): { readonly bytes: Uint8Array; readonly register: Uint8Array } {
  let register: Uint8Array = new Uint8Array(32)
  const entries = files.map(([name, digest]) => {
    const data = concat(sized(concat(utf8('sha256:\0'), digest)), sized(utf8(`${name}\0`)))
    register = sha256(concat(register, sha256(data)))
    return concat(u32le(pcr), hash('sha1', data), sized(utf8('ima-ng')), sized(data))
  })
  return { bytes: concat(...entries), register }
}

export const FILES: readonly (readonly [string, Uint8Array])[] = [
  ['/usr/bin/node', fromHex(NODE)],
  ...engineFiles.map(({ name, sha256: digest }): readonly [string, Uint8Array] => [`/opt/${name}`, fromHex(digest)]),
]

export interface MeasuredParts {
  readonly boot?: typeof HONEST
  readonly own?: OwnLog
  readonly ima?: Uint8Array
}

/** Gives the draft's host these logs, in every attempt, and registers that they replay to. */
export function measured(draft: Draft, { boot, own, ima }: MeasuredParts): void {
  const logs: [kind: 'boot' | 'ima' | 'own', bytes: Uint8Array][] = []
  if (boot !== undefined) {
    logs.push(['boot', boot.log])
    for (const [pcr, value] of Object.entries(boot.expected.quoted.sha256))
      if (Number(pcr) <= 14) draft.pcrs[pcr] = fromHex(value)
  }
  if (ima !== undefined) logs.push(['ima', ima])
  if (own !== undefined) {
    logs.push(['own', utf8(encodeOwnLog(own, sha256))])
    draft.pcrs[OWN_LOG_PCR] = ownLogValues(own, sha256).at(-1) as Uint8Array
  }
  draft.logs = logs.map(([, bytes]) => bytes)
  for (const { environment } of draft.attempts)
    environment.logs = logs.map(([kind, bytes]) => ({ kind, ...blobRef(bytes), source: 'host' }))
}

/** Everything that the host of {@link HONEST} can meet. */
export function allRules(onChange: HostRules['onChange'] = 'stop'): HostRules {
  return {
    engines: [ENGINE, NODE],
    eventLog: HONEST.expected.rules,
    onChange,
    pcrs: { sha256: { '7': HONEST.expected.quoted.sha256['7'] } },
  }
}
