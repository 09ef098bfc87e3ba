/** Which start of the kernel this is. Source: Linux, Documentation/admin-guide/sysctl/kernel.rst (random/boot_id). */

import { readFile } from 'node:fs/promises'

/** Tells a kexec or a restart from a host that went on; null elsewhere than on Linux. */
export async function readBootId(): Promise<string | null> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  } catch {
    return null
  }
}
