/** Every code block of the documents is run, so what a reader pastes works. */

import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, test } from 'vitest'
import { furnish, keepModules } from '../test/command/room.ts'
import { blocksOf, Reader } from './docs.ts'

const root = resolve(import.meta.dirname, '..')

describe('the blocks run as they are printed in', () => {
  for (const path of globSync(['README.md', 'docs/**/*.md', 'packages/*/README.md'], { cwd: root }).toSorted()) {
    const blocks = blocksOf(readFileSync(resolve(root, path), 'utf8'))
    if (blocks.length === 0) continue
    test(`${path} (${blocks.length})`, async () => {
      using reader = new Reader(root)
      await furnish(reader.home)
      for (const block of blocks) {
        try {
          await reader.run(block)
        } catch (error) {
          throw new Error(`${path}:${block.line}: ${(error as Error).message}`, { cause: error })
        }
      }
      await keepModules(reader.home)
    })
  }
})
