export { encodeEngineState, type GlobalType } from './engine-state.ts'
export {
  decodeFrames,
  encodeFrames,
  FRAME_VALUES_MAX,
  FRAMES_MAX,
  type Activations,
  type Frame,
  type FrameValue,
} from './frames.ts'
export { pageDiffers, takeChangedPages, type PageDiffers } from './shadow.ts'
