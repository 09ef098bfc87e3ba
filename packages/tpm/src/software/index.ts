export { backup, isManufactured, persist } from './folder.ts'
export { manufactureBare } from './bare.ts'
export { manufacture, type ManufactureOptions } from './manufacture.ts'
export { start, type StartOptions, stop, type Swtpm } from './supervise.ts'
