/**
 * For all tests, before them: bytes are compared as bytes. Vitest itself goes through an array element by element, 13 ms
 * for each page of 64 KiB.
 */
import { expect } from 'vitest'

const ADDED = Symbol.for('reprise.equality')
const scope = globalThis as { [ADDED]?: true }

// Testers are the process's; this file is loaded anew for each file of tests.
if (scope[ADDED] === undefined) {
  scope[ADDED] = true
  expect.addEqualityTesters([bytesEqual])
}

/** @returns Undefined when that is for Vitest to say. */
function bytesEqual(a: unknown, b: unknown): boolean | undefined {
  if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array) || a.constructor !== b.constructor) return undefined
  return Buffer.compare(a, b) === 0
}
