export { authorityId, type ChainFacts, checkChain, fingerprint } from './chain.ts'
export { type Enrolled, enrolHost, type EnrolOptions } from './enrol.ts'
export { fetchRevocations } from './http.ts'
export {
  decodeMessage,
  encodeEnrolment,
  type EnrolAnswer,
  type EnrolChallenge,
  type EnrolDecision,
  type EnrolRequest,
} from './messages.ts'
export { readAuthorityRoot } from './root-file.ts'
export { answerChallenge, makeRequest, type Pin, takeDecision } from './steps.ts'
