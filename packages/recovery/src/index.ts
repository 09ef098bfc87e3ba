/** Host recovery: the plan, the decisions without I/O, and their simulation. */
export { RecoveryError, type RecoveryErrorCode, type RecoveryErrorKind } from './error.ts'
export { type ApprovedBoot, approvedBoots, CAP_DEFAULT, type RegisterValue, registerValue } from './plan/boots.ts'
export {
  type HeartbeatFacts,
  heartbeatStatement,
  planDigest,
  type ReleaseFacts,
  releaseStatement,
  shareDigest,
  type ShareName,
} from './plan/digest.ts'
export { HOSTS_MAX } from './plan/forms.ts'
export { placeWitnesses, type Placement } from './plan/placement.ts'
export { PLAN_BYTES_MAX, readPlan } from './plan/read.ts'
export { evenFleet } from './plan/sample.ts'
export { survivalOf, type Loss, type Survival, type Theft } from './plan/survive.ts'
export type { Rate } from './simulate/bounds.ts'
export { curvesSvg } from './simulate/curves.ts'
export { explain, type ExplainedPeer, type Explanation } from './simulate/explain.ts'
export { type Fleet, fleetOf } from './simulate/fleet.ts'
export type { CurvePoint, Outcome, Percentiles } from './simulate/outcome.ts'
export { simulate, simulateThefts, type TheftOptions, type Thefts, type Watching } from './simulate/run.ts'
export { type Scenario, scenarioNamed, SCENARIOS, type Scope, scopeNamed } from './simulate/scenario.ts'
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
  PlanBoot,
  PlanMode,
  PlanRegister,
  PriorShutdown,
  Readiness,
  RecoveryPolicy,
  ReleaseRequest,
  Roster,
  RosterHost,
  Service,
  Share,
} from './types.ts'
