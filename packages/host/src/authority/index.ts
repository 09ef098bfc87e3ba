export { type AuditReport, auditAuthority } from './audit.ts'
export {
  type Authority,
  type AuthorityWorld,
  openAuthority,
  type OpenAuthorityOptions,
  type TierVerdict,
} from './authority.ts'
export { type EkRoot, type Policy, REVOCATION_REASONS, type RevocationReason } from './events.ts'
export { initAuthority } from './init.ts'
export { describeKey, type KeyChoice } from './key.ts'
export { type AuthorityServer, serveAuthority, type ServeOptions } from './server.ts'
export type { IssuedCertificate, RequestState } from './state.ts'
export { nodeWorld, readEkRoot } from './tier.ts'
