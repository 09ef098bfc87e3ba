export { startWasmMachine, type WasmMachine } from './wasm-machine.ts'
