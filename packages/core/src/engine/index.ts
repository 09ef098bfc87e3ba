export type {
  Machine,
  MachineNote,
  MachineOutput,
  MachineResults,
  MachineState,
  Measurement,
  SnapshotRef,
  Stop,
} from './engine.ts'
export { NEVER, nextGridPosition, stride } from './positions.ts'
