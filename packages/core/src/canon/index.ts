export { canonical } from './canonical.ts'
export { parseCanonical, parseCanonicalBytes } from './parse.ts'
