/** The one process of a host that owns its TPM and its state. Truth: spec/agent.md. */

export { type Agent, AGENT_TIMES, type AgentOptions, startAgent } from './agent.ts'
export { askAgent, askAt, type AskOptions, connectAgent, type ControlLine } from './control/client.ts'
export type { ControlRequest } from './control/requests.ts'
export type { AgentTimes, Report } from './ground.ts'
export type { Alarm, HostReport, WitnessReport } from './host-report.ts'
export { bringPlan, makeHostOffer, runAgent } from './run.ts'
export { STATE_DEFAULT, statePaths } from './state/folder.ts'
export { tpmPlace } from './tpm/open-tpm.ts'
