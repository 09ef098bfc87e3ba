export { applyCriteria, type CriterionResult, type Side } from './criteria.ts'
export { type Cause, diffComputations, diffEnvironments, likelyCause } from './difference.ts'
export { diffOutputs, type OutputDifference } from './outputs.ts'
export { diffPages, type ByteDifference, type PageDifferences } from './pages.ts'
