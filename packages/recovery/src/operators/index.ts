/** What operators do: keys, offers, signed plans, approvals, statements. Truth: spec/operators.md. */
export {
  approvalsDigest,
  approvalsMissing,
  approverOf,
  type HostApproval,
  joinApprovals,
  keepApprovals,
  shareApprovals,
  signApprovals,
} from './approvals.ts'
export { type PlanChange, planChanges } from './changes.ts'
export { isEncryptedKey, KEY_BYTES_MAX, makeKey, type PersonKey, readKey } from './keys.ts'
export { bootName, carryOver, mergeOffers } from './merge.ts'
export {
  checkOffer,
  type CheckedOffer,
  makeOffer,
  type Offer,
  OFFER_BYTES_MAX,
  type OfferFacts,
  offerStatement,
  type OfferTier,
} from './offer.ts'
export { changeBoots, encodeBoots, JSON_BYTES_MAX, readBoots } from './boots-file.ts'
export {
  changedRegisters,
  judgeUpdate,
  predictBoot,
  type Prediction,
  type Preflight,
  readUpdate,
  type Update,
} from './preflight.ts'
export {
  answerRelease,
  type AskedRelease,
  readReleaseRequest,
  RELEASE_BYTES_MAX,
  type ReleaseAsked,
  type ReleasedHalves,
  type WaitingRelease,
  waitForOperators,
  type WaitOptions,
} from './release.ts'
export type { Signer } from './signatures.ts'
export {
  encodeSignedPlan,
  followingPlan,
  type Handover,
  isSignedPlan,
  type KnownPlan,
  type OperatorSignature,
  parseSignedPlan,
  type PlanApproval,
  readSignedPlan,
  SIGNED_PLAN_BYTES_MAX,
  signaturesMissing,
  type SignedPlan,
  signersOf,
  signPlan,
} from './signed-plan.ts'
export {
  encodeStatement,
  parseStatement,
  readStatement,
  type SignedStatement,
  type SpreadStatement,
  signStatement,
  type Statement,
  STATEMENT_BYTES_MAX,
  type StatementKind,
} from './statements.ts'
