/** A TPM 2.0 client: commands as values, sessions beside them, and a supervisor for the software TPM. */

export { type Answer, type Command, type Encryptable, type ExecuteOptions, type Executor } from './command.ts'
export {
  type Attested,
  Certify,
  GetSessionAuditDigest,
  GetTime,
  NvCertify,
  Quote,
  Sign,
  type Ticket,
  VerifySignature,
} from './commands/attest.ts'
export { FlushContext } from './commands/flush.ts'
export {
  type Capability,
  type CapabilityData,
  type CapabilityRequest,
  decodeCapability,
  GetCapability,
  GetRandom,
  hasCommand,
  ReadClock,
  readHandles,
  readProperties,
  SelfTest,
  Shutdown,
  Startup,
  type StartupType,
} from './commands/general.ts'
export {
  Clear,
  DictionaryAttackLockReset,
  DictionaryAttackParameters,
  HierarchyChangeAuth,
} from './commands/hierarchy.ts'
export {
  NvDefineSpace,
  NvExtend,
  NvIncrement,
  type NvIndex,
  NvRead,
  NvReadPublic,
  NvUndefineSpace,
  NvWrite,
  openNvIndex,
  readNv,
} from './commands/nv.ts'
export {
  ActivateCredential,
  ContextLoad,
  ContextSave,
  Create,
  CreatePrimary,
  EvictControl,
  Load,
  LoadExternal,
  openObject,
  ReadPublic,
  type SensitiveCreate,
  Unseal,
  type WrappedObject,
} from './commands/object.ts'
export { type PcrDigests, PcrExtend, PcrRead, PcrReset, readPcrs } from './commands/pcr.ts'
export {
  PolicyAuthorize,
  policyAuthorizeMessage,
  PolicyAuthorizeNV,
  PolicyAuthValue,
  PolicyCommandCode,
  type PolicyComparison,
  PolicyCounterTimer,
  PolicyGetDigest,
  PolicyNV,
  PolicyOR,
  PolicyPCR,
  PolicyRestart,
  type PolicyScope,
  PolicySecret,
  PolicySigned,
  policySignedMessage,
  type PolicyTicket,
} from './commands/policy.ts'
export { flushAll, StartAuthSession, type StartAuthSessionRequest } from './commands/session.ts'
export {
  ENDORSEMENT,
  type Entity,
  LoadedObject,
  LOCKOUT,
  namedByHandle,
  NULL_HIERARCHY,
  type ObjectEntity,
  OWNER,
  pcr,
  PLATFORM,
  withAuth,
} from './entity.ts'
export { isResponse, isSessionGone, TpmError, type TpmErrorCode } from './error.ts'
export { Policy } from './policy/calculator.ts'
export {
  type Alternatives,
  alternatives,
  externalName,
  meetPolicy,
  type PolicyClause,
  policyOf,
} from './policy/clauses.ts'
export { type Credential, makeCredential } from './session/credential.ts'
export { Session, type SessionType } from './session/session.ts'
export * as swtpm from './software/index.ts'
export {
  attestationKeyTemplate,
  EK_P256,
  EK_P384,
  EK_RSA_2048,
  externalSigner,
  sealedTemplate,
  signingKeyTemplate,
  SRK_P256,
} from './templates.ts'
export { connect, type ConnectOptions, type Tpm } from './tpm.ts'
export { DEVICE_PATH, type DeviceFile, openDeviceTransport } from './transport/device.ts'
export { openSocketTransport, type SocketAddress } from './transport/socket.ts'
export { type Transport, type TransportLimits } from './transport/transport.ts'
