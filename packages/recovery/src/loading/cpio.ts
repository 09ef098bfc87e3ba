/**
 * Files for an initramfs: the kernel unpacks what stands behind an initrd as well.
 *
 * Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux, "newc".
 */

export interface CpioEntry {
  /** Relative, without `.` and `..`; its folders come before it. */
  readonly path: string
  readonly mode: number
  /** Undefined: a folder. */
  readonly content?: Uint8Array
}

const FOLDER = 0o040000
const FILE = 0o100000
const END = 'TRAILER!!!'

/** An archive; it may stand at any offset that is a multiple of 4. The caller wipes it. */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const all = [...entries, { path: END, mode: 0, content: undefined }]
  const parts = all.map(({ path, mode, content }, i) => {
    const kind = path === END ? 0 : content === undefined ? FOLDER : FILE
    return { head: header({ path, mode: mode | kind, number: i + 1, lengthBytes: content?.length ?? 0 }), content }
  })
  const lengthBytes = parts.reduce((sum, { head, content }) => sum + head.length + padded(content?.length ?? 0), 0)
  const archive = new Uint8Array(lengthBytes)
  let at = 0
  for (const { head, content } of parts) {
    archive.set(head, at)
    at += head.length
    if (content === undefined) continue
    archive.set(content, at)
    at += padded(content.length)
  }
  return archive
}

function header(of: {
  readonly path: string
  readonly mode: number
  readonly number: number
  readonly lengthBytes: number
}): Uint8Array {
  const name = Buffer.from(`${of.path}\0`)
  const fields = [of.number, of.mode, 0, 0, 1, 0, of.lengthBytes, 0, 0, 0, 0, name.length, 0]
  const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`)
  const whole = new Uint8Array(padded(head.length + name.length))
  whole.set(head)
  whole.set(name, head.length)
  return whole
}

/** To four bytes. */
export function padded(lengthBytes: number): number {
  return Math.ceil(lengthBytes / 4) * 4
}
