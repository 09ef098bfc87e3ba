export { applyCriteria, type CriteriaRequest, type CriterionResult, type Judgement, type Side } from './criteria.ts'
export {
  type Cause,
  type ComputationDifference,
  type ComputationPart,
  diffComputations,
  diffEnvironments,
  type EnvironmentDifference,
  likelyCause,
} from './difference.ts'
export { diffBytes, diffOutputs, type OutputDifference, type OutputPlace, type OutputSet } from './outputs.ts'
export { type ByteDifference, diffPages, type PageDifferences } from './pages.ts'
