/** Why everything is being given up: the user wants it. */
export class Interrupted extends Error {}
