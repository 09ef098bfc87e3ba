/** Installed runtimes as a place where blobs are: a record that names one finds it by digest, and no other one. */
import { join } from 'node:path'
import type { BlobPlace } from '../gather/index.ts'
import { listRuntimes, runtimeParts } from './store.ts'

export function runtimesPlace(home: string): BlobPlace {
  return {
    name: 'the installed runtimes',
    async bring({ sha256 }, store) {
      const { runtimes } = await listRuntimes(home)
      for (const { folder, manifest } of runtimes) {
        const part = runtimeParts(manifest).find(([, blob]) => blob.sha256 === sha256)
        if (part === undefined) continue
        const path = join(folder, part[0])
        const kept = await store.putFile(path).catch(() => undefined)
        if (kept?.sha256 === sha256) return true
        return `${path} holds other bytes than its manifest says; reprise runtime verify says more`
      }
      return false
    },
  }
}
