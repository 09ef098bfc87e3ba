export { encodeEngineState, type GlobalType } from './engine-state.ts'
export { pageDiffers, takeChangedPages, type PageDiffers } from './shadow.ts'
