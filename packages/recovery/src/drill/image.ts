/**
 * The image of a laboratory: three services, each a few lines of shell. The programs are those of the machine, by a volume,
 * so it weighs nothing; what it shows is order, readiness and credentials.
 */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodePrograms, type Program } from '../loading/index.ts'
import type { Signer } from '../operators/index.ts'
import { buildImage } from '../sealing/image/build.ts'
import { Secret } from '../sealing/secret.ts'
import type { Service } from '../types.ts'

const READY_MS = 60_000

/** As the plan has them. */
export const LAB_SERVICES: readonly Service[] = [
  { name: 'network', after: [], ready: { kind: 'started' }, credentials: [] },
  {
    name: 'database',
    after: ['network'],
    ready: { kind: 'file', path: '/run/database', withinMs: READY_MS },
    credentials: ['host', 'password'],
  },
  {
    name: 'site',
    after: ['database'],
    ready: { kind: 'file', path: '/run/site', withinMs: READY_MS },
    credentials: ['host', 'password'],
  },
]

/** What each service does. They note in `/witnessed` what they were given: `HOST SERVICE sha256-of-the-password`, one to a line. */
const NOTE =
  'echo "$(cat "$CREDENTIALS_DIRECTORY/host") $0 $(sha256sum < "$CREDENTIALS_DIRECTORY/password" | cut -c 1-64)" >> /witnessed/notes'
const SCRIPTS: Readonly<Record<string, string>> = {
  network: 'exec sleep 100000',
  database: `${NOTE}; touch /run/database; exec sleep 100000`,
  site: `test -e /run/database || exit 1; ${NOTE}; touch /run/site; exec sleep 100000`,
}

export interface LabImage {
  readonly path: string
  /** Path of the content key, 32 bytes, for provisioning. */
  readonly keyPath: string
  readonly version: number
}

export interface LabImageSettings {
  readonly folder: string
  readonly version: number
  readonly rosterVersion: number
  readonly signer: Signer
  /** Where services note what they saw. */
  readonly witnessed: string
  /** So much more of it, in bytes that do not compress. */
  readonly ballastBytes?: number
}

/** @throws RecoveryError `IMAGE_TOOL` when mkfs.erofs is missing. */
export async function buildLabImage(settings: LabImageSettings): Promise<LabImage> {
  const { folder, version, rosterVersion, signer, witnessed, ballastBytes = 0 } = settings
  await mkdir(witnessed, { recursive: true })
  const scratch = await mkdtemp('/dev/shm/reprise-lab-')
  try {
    const tree = join(scratch, 'tree')
    await makeTree(tree, witnessed, ballastBytes)
    const path = join(folder, `image-${version}`)
    const keyPath = `${path}.key`
    using key = Secret.random(32)
    await writeFile(keyPath, key.bytes, { mode: 0o600 })
    const services = LAB_SERVICES.map(({ name }) => name)
    await buildImage({
      ...{ folder: tree, scratch, target: path, key },
      about: { name: 'lab', version, roster: rosterVersion, approvals: 0, services },
      sign: signer.sign,
    })
    return { path, keyPath, version }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function makeTree(tree: string, witnessed: string, ballastBytes: number): Promise<void> {
  for (const name of ['etc/reprise', 'usr', 'witnessed']) await mkdir(join(tree, name), { recursive: true })
  // A machine whose programs are all below /usr, as systems are today.
  for (const name of ['bin', 'lib', 'lib64', 'sbin']) await symlink(`usr/${name}`, join(tree, name))
  const programs = LAB_SERVICES.map(({ name }): Program => ({
    name,
    command: ['/bin/sh', '-c', SCRIPTS[name], name],
    ...{ environment: {}, directory: '/', uid: 0, gid: 0, once: false, stopWithinMs: 2000 },
  }))
  const volumes = [
    { host: '/usr', at: '/usr' },
    { host: witnessed, at: '/witnessed' },
  ]
  await writeFile(join(tree, 'etc/reprise/services.json'), encodePrograms({ programs, volumes }))
  if (ballastBytes > 0) await writeBallast(join(tree, 'ballast'), ballastBytes)
}

async function writeBallast(path: string, lengthBytes: number): Promise<void> {
  const { randomFillSync } = await import('node:crypto')
  const { open } = await import('node:fs/promises')
  await using file = await open(path, 'w')
  const part = new Uint8Array(1 << 20)
  for (let left = lengthBytes; left > 0; left -= part.length)
    await file.write(randomFillSync(part).subarray(0, Math.min(left, part.length)))
}
