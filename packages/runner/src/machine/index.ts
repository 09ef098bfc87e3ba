export { loadWarmRoot, type WarmUp } from './warm/index.ts'
export { startWasmMachine, type WasmMachine } from './wasm-machine.ts'
