/** Host recovery: the plan, the decisions without I/O, and their simulation. */
export { RecoveryError, type RecoveryErrorCode, type RecoveryErrorKind } from './error.ts'
export type {
  BreakGlass,
  DeadClocks,
  Fact,
  FactSource,
  FaultDomain,
  HostId,
  HostState,
  OperatorKey,
  Plan,
  PlanMode,
  PriorShutdown,
  Readiness,
  RecoveryPolicy,
  ReleaseRequest,
  Roster,
  RosterHost,
  Service,
  Share,
} from './types.ts'
