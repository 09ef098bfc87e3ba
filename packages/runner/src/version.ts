import packageJson from '../package.json' with { type: 'json' }

/** One version for the whole house. */
export const REPRISE_VERSION: string = packageJson.version
