/** What a run happened on: recorded and signed by its digest, never part of the outcome. */
import { arch, cpus, platform, release } from 'node:os'
import { hash } from 'node:crypto'
import { hex, type Environment } from '@reprise/core'
import { readBootId, type HostFacts } from '@reprise/host'
import { REWRITER_VERSION } from '@reprise/wasm'
import { REPRISE_VERSION } from '../version.ts'

export interface EnvironmentRequest {
  readonly host: HostFacts
  readonly startedAt: Date
  readonly logs: Environment['logs']
  /** Earlier runs whose outputs are inputs of this one. */
  readonly follows: readonly string[]
  /** The run that this one repeats. */
  readonly repeats: string | null
}

export async function describeEnvironment(request: EnvironmentRequest): Promise<Environment> {
  const { host } = request
  return {
    schema: 'reprise/environment/v1',
    architecture: arch(),
    bootId: await readBootId(),
    cpu: cpus()[0]?.model ?? 'unknown',
    ekCertificate: host.ekCertificate === null ? null : hex(hash('sha256', host.ekCertificate, 'buffer')),
    follows: request.follows,
    kernel: release(),
    logs: request.logs,
    node: process.versions.node,
    platform: platform(),
    repeats: request.repeats,
    reprise: REPRISE_VERSION,
    rewriter: REWRITER_VERSION,
    startedAt: `${request.startedAt.toISOString().slice(0, 19)}Z`,
    tpm: { firmware: host.tpm.firmware, manufacturer: host.tpm.manufacturer, transport: host.tpm.transport },
    v8: process.versions.v8,
  }
}
