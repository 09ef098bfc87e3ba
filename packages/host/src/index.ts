/**
 * The signer process that owns a host's TPM, its client, and the host's identity. What enrols hosts is apart, for it is
 * large and seldom needed: `@reprise/host/enrolment`, `@reprise/host/authority`.
 */

export { findLog, type FoundLog, logPlaces, type LogPlaces } from './environment/logs.ts'
export { measureHost, type MeasureOptions } from './environment/measure-host.ts'
export { HostError, type HostErrorCode } from './error.ts'
export { repriseHome } from './home.ts'
export type { CertificateReport, EnrolmentReport, HostReport, HostTier } from './identity/report.ts'
export { connectSigner, type ConnectOptions, initHost, type Signer } from './signer/client.ts'
export type { HostFacts, HostQuote, RunHead } from './signer/protocol.ts'
export type { RunSigner, RunToSign, WaitOptions } from './signer/run-signer.ts'
export type { SignerSettings, TpmChoice } from './signer/start.ts'
export { readBootId } from './power/boot-id.ts'
