/** The one process of a host that owns its TPM and its state. Truth: spec/agent.md. */

export { type Agent, AGENT_TIMES, type AgentOptions, startAgent } from './agent.ts'
export type { HostReport } from './host-report.ts'
