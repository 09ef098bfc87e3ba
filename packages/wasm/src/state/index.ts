export { encodeEngineState } from './engine-state.ts'
export { decodeFrames, encodeFrames, type Activations } from './frames.ts'
export { pagesDiffer, takeChangedPages, type PagesDiffer, type PageRange } from './shadow.ts'
