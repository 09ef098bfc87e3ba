export type { Machine, MachineNote, MachineOutput, MachineState, Measurement, Stop } from './engine.ts'
export { NEVER, nextGridPosition, stride } from './positions.ts'
