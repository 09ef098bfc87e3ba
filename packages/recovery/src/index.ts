/** Host recovery: the plan, the decisions without I/O, and their simulation. */
export { RecoveryError, type RecoveryErrorCode, type RecoveryErrorKind } from './error.ts'
export { planDigest, shareDigest, type ShareName } from './plan/digest.ts'
export { placeWitnesses, type Placement } from './plan/placement.ts'
export { HOSTS_MAX, PLAN_BYTES_MAX, readPlan } from './plan/read.ts'
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
