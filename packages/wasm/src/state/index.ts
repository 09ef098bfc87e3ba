export { encodeEngineState } from './engine-state.ts'
export { decodeFrames, encodeFrames, type Activations } from './frames.ts'
export { pageDiffers, takeChangedPages, type PageDiffers, type PageRange } from './shadow.ts'
