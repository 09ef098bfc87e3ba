export { encodeEngineState } from './engine-state.ts'
export { pageDiffers, takeChangedPages, type PageDiffers } from './shadow.ts'
