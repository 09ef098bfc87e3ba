/** What operators do: keys, offers, signed plans, approvals, statements. Truth: spec/operators.md. */
export { approvalsMissing, approverOf, type HostApproval, shareApprovals, signApprovals } from './approvals.ts'
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
export { akName, checkQuote, type QuoteBytes, type QuoteCheck } from './quote.ts'
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
  signStatement,
  type Statement,
  STATEMENT_BYTES_MAX,
  type StatementKind,
} from './statements.ts'
