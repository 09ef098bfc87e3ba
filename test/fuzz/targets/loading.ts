/** What an image brings: how its services are started, and layers of OCI images by anybody. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RecoveryError } from '@reprise/recovery'
import { encodePrograms, parsePrograms } from '@reprise/recovery/loading'
import { unpackOci } from '../../../packages/recovery/src/loading/build/oci.ts'
import { mutateBytes } from '../mutate.ts'
import { type FuzzTarget, unlessRefused } from '../target.ts'

export const loadingPrograms: FuzzTarget = {
  name: 'loading-programs',
  claim: 'a changed services.json is refused, or means the same when it is written and read again',
  byDay: 5000,
  prepare() {
    const sample = encodePrograms({
      programs: [
        {
          ...{
            name: 'web',
            command: ['/usr/bin/web', '--port', '80'],
            environment: { MODE: 'site' },
            directory: '/srv',
          },
          ...{ uid: 33, gid: 34, once: true, stopWithinMs: 5000 },
        },
      ],
      volumes: [{ host: '/srv/web', at: '/srv' }],
    })
    return Promise.resolve((random) => {
      const changed = mutateBytes(random, sample, [sample])
      const read = unlessRefused(RecoveryError, () => parsePrograms(changed, 'sample'))
      if (read !== undefined) deepStrictEqual(parsePrograms(encodePrograms(read), 'sample'), read)
    })
  },
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** A layer with files, folders, links and whiteouts. */
function sampleLayer(folder: string): Buffer {
  const tree = join(folder, 'sample')
  mkdirSync(join(tree, 'usr/bin'), { recursive: true })
  writeFileSync(join(tree, 'usr/bin/web'), 'web')
  writeFileSync(join(tree, 'usr/.wh.old'), '')
  symlinkSync('../..', join(tree, 'usr/up'))
  symlinkSync('/etc', join(tree, 'etc'))
  return execFileSync('tar', ['-C', tree, '-cf', '-', 'usr', 'etc'])
}

/** Says the right digests of whatever the layers are: what is tried is the unpacking. */
function writeLayout(layout: string, layers: readonly Uint8Array[]): void {
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true })
  const blob = (bytes: Uint8Array) => {
    writeFileSync(join(layout, 'blobs/sha256', sha256(bytes)), bytes)
    return { digest: `sha256:${sha256(bytes)}`, size: bytes.length }
  }
  const json = (value: unknown) => blob(Buffer.from(JSON.stringify(value)))
  const blobs = layers.map(blob)
  const config = json({ rootfs: { diff_ids: blobs.map(({ digest }) => digest) } })
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(join(layout, 'index.json'), JSON.stringify({ manifests: [json({ config, layers: blobs })] }))
}

/** Names of all that stands beside the tree. */
function around(folder: string): string[] {
  return readdirSync(folder).filter((name) => name !== 'tree' && name !== 'layout')
}

export const ociLayers: FuzzTarget = {
  name: 'oci-layers',
  claim: 'changed layers are refused or unpacked, and nothing outside of the tree is made, changed or removed',
  byDay: 60,
  prepare() {
    const setUp = mkdtempSync(join(tmpdir(), 'reprise-fuzz-'))
    const layer = sampleLayer(setUp)
    rmSync(setUp, { recursive: true })
    return Promise.resolve(async (random) => {
      const folder = mkdtempSync(join(tmpdir(), 'reprise-fuzz-'))
      try {
        for (const name of ['old', 'web', 'up']) writeFileSync(join(folder, name), 'outside')
        const before = around(folder)
        // Headers are where the paths are; a checksum that no longer holds is mended, or nothing would come of it.
        const changed = mendChecksums(mutateBytes(random, layer, [layer, Buffer.from('../../old'), Buffer.from('/')]))
        writeLayout(join(folder, 'layout'), [layer, changed])
        await unpackOci(join(folder, 'layout'), join(folder, 'tree')).catch((error: unknown) => {
          if (!(error instanceof RecoveryError)) throw error
        })
        deepStrictEqual(around(folder), before)
        for (const name of ['old', 'web', 'up']) strictEqual(readFileSync(join(folder, name), 'utf8'), 'outside')
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  },
}

function mendChecksums(archive: Uint8Array): Uint8Array {
  const mended = new Uint8Array(archive)
  for (let at = 0; at + 512 <= mended.length; at += 512) {
    const header = mended.subarray(at, at + 512)
    if (Buffer.from(header.subarray(257, 262)).toString('latin1') !== 'ustar') continue
    header.fill(0x20, 148, 156)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
  }
  return mended
}
