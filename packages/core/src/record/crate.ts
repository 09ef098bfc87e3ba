/**
 * ro-crate-metadata.json: the record told in schema.org's words, for tools that never heard of us.
 * It says nothing that record.json does not say, and is regenerated in order to check it.
 *
 * Source: RO-Crate 1.1; Process Run Crate profile 0.5. Format: spec/record.md §5.
 */
import { canonical } from '../canon/index.ts'
import { hostEntryNames } from './document.ts'
import type { BlobRef, Computation, Outcome, RecordDocument } from './types.ts'

const RO_CRATE = 'https://w3id.org/ro/crate/1.1'
const PROCESS_RUN_CRATE = 'https://w3id.org/ro/wfrun/process/0.5'
/** RO-Crate's own context has no term for a digest. */
const SHA256_TERM = 'https://w3id.org/ro/terms/workflow-run#sha256'

interface Reference {
  readonly '@id': string
}

type Entity = Reference & { readonly [property: string]: unknown }

/** @returns Canonical JSON, a function of the document alone. */
export function crateOf(record: RecordDocument): string {
  // Every entity is written down in the order of canonical JSON, which is then the quicker to write.
  const { computation, outcome } = record
  const blobs = new Map<string, Blob>()
  const program = named(blobs, computation.program, computation.arguments[0] ?? 'program')
  const inputs = inputsOf(computation).map(({ blob, name }) => named(blobs, blob, name))
  const outputs = (outcome?.outputs ?? []).map(({ length, path, sha256 }) =>
    named(blobs, { lengthBytes: length, sha256 }, path),
  )
  const action: Entity = {
    '@id': runUri(record.run),
    '@type': 'CreateAction',
    ...statusOf(outcome),
    instrument: program,
    name: `Run of ${computation.arguments.join(' ')}`,
    object: unique(inputs),
    result: unique(outputs),
    startTime: record.attempts[0].environment.startedAt,
  }
  const files = ['record.json', 'checkpoints.jsonl', 'snapshots.jsonl', 'attestations.jsonl', ...evidenceOf(record)]
  const graph: Entity[] = [
    {
      '@id': 'ro-crate-metadata.json',
      '@type': 'CreativeWork',
      about: { '@id': './' },
      conformsTo: [{ '@id': RO_CRATE }],
    },
    {
      '@id': './',
      '@type': 'Dataset',
      conformsTo: { '@id': PROCESS_RUN_CRATE },
      datePublished: record.attempts[0].environment.startedAt,
      description: 'A computation that can be repeated bit for bit, with its evidence',
      hasPart: files.map((name) => ({ '@id': name })),
      license: 'The record grants no licence to what it names',
      mentions: { '@id': action['@id'] },
      name: `Reprise record of run ${record.run}`,
    },
    { '@id': PROCESS_RUN_CRATE, '@type': 'CreativeWork', name: 'Process Run Crate', version: '0.5' },
    action,
    ...files.map((name) => ({ '@id': name, '@type': 'File', name })),
    ...[...blobs.values()].map((blob) => entityOf(blob, blob.uri === program['@id'])),
  ]
  return canonical({ '@context': [`${RO_CRATE}/context`, { sha256: SHA256_TERM }], '@graph': graph })
}

/** RFC 6920 §7: a name that is the digest, in hex. Attached or not, the bytes are the same. */
function blobUri(sha256: string): string {
  return `nih:sha-256;${sha256}`
}

function runUri(run: string): string {
  return `#run-${run}`
}

interface Blob {
  readonly uri: string
  readonly blob: BlobRef
  readonly names: Set<string>
}

/** Two paths with the same content are one entity with two names. */
function named(blobs: Map<string, Blob>, blob: BlobRef, name: string): Reference {
  const uri = blobUri(blob.sha256)
  const known = blobs.get(uri) ?? { uri, blob, names: new Set<string>() }
  known.names.add(name)
  blobs.set(uri, known)
  return { '@id': uri }
}

function inputsOf({ mounts, start, stdin }: Computation): { readonly blob: BlobRef; readonly name: string }[] {
  const sources = [...mounts.map(({ source }) => source), ...(start?.mounts ?? [])]
  const mounted = sources.flatMap((source, i) => {
    const { at } = mounts[i % mounts.length]
    return source.kind === 'archive'
      ? [{ blob: source.blob, name: at }]
      : source.files.map((file) => ({ blob: file, name: at === '/' ? file.path : `${at}/${file.path}` }))
  })
  return [{ blob: stdin, name: '/dev/stdin' }, ...mounted]
}

function evidenceOf(record: RecordDocument): string[] {
  return record.hosts.flatMap(({ certificates, ek }, i) => {
    const names = hostEntryNames(i)
    return [names.ak, ...certificates.map((_, place) => names.certificate(place)), ...(ek === null ? [] : [names.ek])]
  })
}

function statusOf(outcome: Outcome | null): { readonly actionStatus: Reference; readonly error?: string } {
  const failed = { '@id': 'http://schema.org/FailedActionStatus' }
  if (outcome === null) return { actionStatus: failed, error: 'the run did not end' }
  if ('trap' in outcome.exit) return { actionStatus: failed, error: outcome.exit.trap }
  if (outcome.exit.code !== 0) return { actionStatus: failed, error: `exit code ${outcome.exit.code}` }
  return { actionStatus: { '@id': 'http://schema.org/CompletedActionStatus' } }
}

function unique(references: readonly Reference[]): Reference[] {
  return [...new Set(references.map((reference) => reference['@id']))].map((id) => ({ '@id': id }))
}

function entityOf({ uri, blob, names }: Blob, isProgram: boolean): Entity {
  const [name, ...others] = names
  return {
    '@id': uri,
    '@type': isProgram ? ['File', 'SoftwareApplication'] : 'File',
    ...(others.length > 0 && { alternateName: others }),
    contentSize: String(blob.lengthBytes),
    name,
    sha256: blob.sha256,
  }
}
