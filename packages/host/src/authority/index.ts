export { type AuditReport, auditAuthority } from './audit.ts'
export {
  type Authority,
  type AuthorityWorld,
  nodeWorld,
  openAuthority,
  type OpenAuthorityOptions,
  type TierVerdict,
} from './authority.ts'
export { REVOCATION_REASONS, type RevocationReason } from './events.ts'
export { initAuthority } from './init.ts'
export { describeKey, type KeyChoice } from './key.ts'
export { DEFAULT_POLICY, type Policy } from './policy.ts'
export { type AuthorityServer, serveAuthority, type ServeOptions } from './server.ts'
export type { IssuedCertificate, RequestState } from './state.ts'
export { readEkRoot, tierByRoots } from './tier.ts'
