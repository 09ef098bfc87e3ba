export type { Machine, MachineNote, MachineOutput, MachineResults, MachineState, Measurement, Stop } from './engine.ts'
export { NEVER, nextGridPosition, stride } from './positions.ts'
