export { Places, type Place } from './places.ts'
export { type Source } from './lines.ts'
