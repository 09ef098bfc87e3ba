/** Channels between hosts: who is at the other end is proven before a word is said. Truth: spec/channel.md. */

export type { Answerer, Attested, Channel, HostTpm, Opened, RegisterQuote } from './channel.ts'
export { decodeFrame, encodeFrame, type Frame } from './frames.ts'
export { hostTpm } from './host-tpm.ts'
export { drawIdentity, processIdentity, type TlsIdentity } from './identity.ts'
export { CHANNEL_LIMITS, type ChannelLimits, SIGNED_PLAN_BYTES_MAX } from './limits.ts'
export {
  FAILED_TEXT_BYTES_MAX,
  STATUS_ALARMS_MAX,
  STATUS_MISSING_MAX,
  STATUS_SERVICES_MAX,
  toLine,
} from './message-codec.ts'
export type { Answer, FailedCode, HostPhase, HostStatus, Message, ServiceStatus } from './messages.ts'
export { openChannel, type OpenRequest } from './open.ts'
export { type ApprovedBoot, type PlanView, registersOf, type ViewedHost } from './plan-view.ts'
export { channelPool, type ChannelPool, type PoolRequest } from './pool.ts'
export { type ChannelServer, serveChannels, type ServeRequest } from './serve.ts'
