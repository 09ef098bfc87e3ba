/** `owner.json` while the agent runs: one writer, each change on disk before it counts. */

import { inOrder } from '../ground.ts'
import { readState, writeState } from '../state/folder.ts'
import { NO_OWNER, OWNER_FILE, type OwnerFile } from '../state/owner-file.ts'

export interface OwnerMemory {
  readonly now: OwnerFile
  readonly change: (change: (now: OwnerFile) => Partial<OwnerFile>) => Promise<void>
}

export async function openOwnerMemory(path: string): Promise<OwnerMemory> {
  let now = (await readState(path, OWNER_FILE)) ?? NO_OWNER
  const take = inOrder()
  return {
    get now() {
      return now
    },
    change: (change) =>
      take(async () => {
        const next = { ...now, ...change(now) }
        await writeState(path, OWNER_FILE, next)
        now = next
      }),
  }
}
