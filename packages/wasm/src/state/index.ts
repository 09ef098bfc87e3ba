export { encodeEngineState } from './engine-state.ts'
export { decodeFrames, encodeFrames, type Activations } from './frames.ts'
export { pagesDiffer, takeChangedPages, UsedBlocks, type PagesDiffer, type PageRange } from './shadow.ts'
