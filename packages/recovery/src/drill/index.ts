/** Fleets on one machine, for drills, tests and measurements. */
export { auditLab } from './audits.ts'
export { type BlackoutSettings, runBlackout } from './blackout.ts'
export { Lab, LAB_BOOT, LAB_PCRS, type LabHost, type LabSettings, type LabShape } from './lab.ts'
export {
  agentWords,
  LAB_POLICY,
  type LabFleet,
  provisionFleet,
  type ProvisionSettings,
  signLabPlan,
} from './provision.ts'
export { fleetView, isHealthy, reportOf } from './reports.ts'
export { type DrillEvent, type DrillResult, type DrillSettings, runDrill } from './story.ts'
export { type Way, type Ways } from './network.ts'
