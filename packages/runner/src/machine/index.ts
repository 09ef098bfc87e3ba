export { startWasmMachine, type MachineOptions, type MachineProgress, type WasmMachine } from './wasm-machine.ts'
