/** What people look at while a fleet comes back. Truth: spec/board.md. */
export { serveAgentBoard } from './agent-board.ts'
export { boardPage, type Look } from './page.ts'
export { serveBoard, type BoardOptions, type BoardServer } from './server.ts'
export {
  type Heard,
  parseSightings,
  type Sighting,
  type Sightings,
  SIGHTINGS_BYTES_MAX,
  sightingsJson,
  sightingsOf,
} from './sightings.ts'
export { boardLines, type Emphasis, type TextOptions } from './text.ts'
export { boardView, type BoardView, type Standing } from './view.ts'
