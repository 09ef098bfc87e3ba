export { partingOf } from './call-log.ts'
export { type CallLog, type Look, type Mark, type ProbeCall, type ProbeStop } from './probe-protocol.ts'
export { startProbe, type Probe } from './probe.ts'
export { startWasmMachine, type WasmMachine } from './wasm-machine.ts'
