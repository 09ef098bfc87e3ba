/** From the image key of a released host to services that are ready. Rules: spec/agent.md §7, spec/release.md §11.4. */

import { mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { concat, equal, fromHex, hex } from '@reprise/core'
import type { ServiceStatus } from '../../channel/messages.ts'
import { requireMemory } from '../../loading/memory.ts'
import type { Loaded, Loader } from '../../loading/types.ts'
import { readBootState } from '../../sealing/boot-state.ts'
import { contentKey, type Generation } from '../../sealing/generations.ts'
import { openImageFile } from '../../sealing/image/file-source.ts'
import { decryptImage, openImage, type OpenImage } from '../../sealing/image/open-image.ts'
import { IMAGE_PCR, imageDigest, measureImage, raiseImageFloors, readImageFloors } from '../../sealing/image/take.ts'
import type { Secret } from '../../sealing/secret.ts'
import { sha256 } from '../../sealing/words.ts'
import type { HostId, Service } from '../../types.ts'
import { RecoveryError } from '../../error.ts'
import type { Ground } from '../ground.ts'
import { sayTo } from '../network.ts'
import { loadedStatement } from '../proofs.ts'
import { CREDENTIALS_VERSION, readCredentials } from './credentials.ts'

export interface ImageOptions {
  readonly path: string
  /** A folder in memory, for the plain payload. */
  readonly memory: string
  /** By the payload: an image of services, or another kernel. */
  readonly loaderFor: (payload: string) => Promise<Loader>
}

export interface LoadParts {
  readonly ground: Ground
  readonly generation: Generation
  readonly root: Secret
  readonly image: ImageOptions
  readonly signal: AbortSignal
  readonly onStatus: (status: ServiceStatus) => void
}

/** Of an image that is up, or came up in part. */
export interface Running {
  readonly stop: () => Promise<void>
}

/** Between two attempts to be confirmed by a witness. */
const CONFIRM_MS = 2000

/** @throws RecoveryError `IMAGE`, `IMAGE_OLD`, `CONTENT_KEY`, `LOADING`; the signal's reason. */
export async function loadImage(parts: LoadParts): Promise<Running> {
  const { ground, generation, root, image } = parts
  const { pinned, report } = ground
  await requireMemory(image.memory)
  await using source = await openImageFile(image.path)
  const { plan } = ground.fleet()
  const signers = plan.imageSigners.map(fromHex)
  const opened = await openImage(source, { signers, floors: await readImageFloors(pinned, generation) })
  const { manifest } = opened
  using key = contentKey(generation, root, manifest.version)
  await measureOnce(ground, opened)
  const digest = imageDigest(manifest)
  const confirmedBy = await confirmed(parts, digest)
  report('image confirmed', { image: hex(digest), by: confirmedBy })
  const folder = await mkdtemp(join(image.memory, 'reprise-image-'))
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    const payload = join(folder, 'payload')
    await decryptTo(payload, opened, key)
    report('image decrypted', { version: manifest.version, bytes: manifest.payload.lengthBytes })
    const loaded = await loadPayload(parts, payload, manifest.services)
    const event = { kind: 'loaded', image: digest, version: manifest.version, confirmedBy } as const
    const running = await settled(parts, loaded)
    await ground.audit(event)
    if (loaded.kind === 'ready') await raiseImageFloors(pinned, generation, manifest)
    if (loaded.kind === 'leaving') {
      report('leaving', { kernel: image.path })
      await loaded.leave()
    }
    return {
      stop: async () => {
        await running.stop()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

async function settled({ ground }: LoadParts, loaded: Loaded): Promise<Running> {
  switch (loaded.kind) {
    case 'ready':
      ground.report('services ready')
      return loaded
    case 'failed':
      ground.alarm(`the service ${loaded.service} did not come up: ${loaded.why}`)
      return loaded
    case 'leaving':
      return loaded
    case 'unsupported':
      throw new RecoveryError('LOADING', { message: `This machine cannot load the image: ${loaded.why}` })
  }
}

async function loadPayload(parts: LoadParts, payload: string, carried: readonly string[]): Promise<Loaded> {
  const { ground, generation, root, image, signal, onStatus } = parts
  const services = servicesOf(ground.fleet().plan.services, carried)
  const credentials = await openCredentials(ground, generation, root)
  try {
    const loader = await image.loaderFor(payload)
    const credentialsOf = (name: string): ReadonlyMap<string, Secret> => {
      const wanted = services.find((service) => service.name === name)?.credentials ?? []
      return new Map([...credentials].filter(([credential]) => wanted.includes(credential)))
    }
    const onOutput = (service: string, line: string): void => ground.report('output', { service, line })
    return await loader.load({ payload, services, credentialsOf, onStatus, onOutput, signal })
  } finally {
    for (const secret of credentials.values()) secret[Symbol.dispose]()
  }
}

async function openCredentials(
  { host, paths }: Ground,
  generation: Generation,
  root: Secret,
): Promise<ReadonlyMap<string, Secret>> {
  if (!generation.keys.some(({ version }) => version === CREDENTIALS_VERSION)) return new Map()
  using key = contentKey(generation, root, CREDENTIALS_VERSION)
  return await readCredentials({ path: paths.credentials, host, key })
}

/** What the plan has of those that the image carries; what they wait for is among them. */
function servicesOf(planned: readonly Service[], carried: readonly string[]): readonly Service[] {
  return planned
    .filter(({ name }) => carried.includes(name))
    .map((service) => ({ ...service, after: service.after.filter((name) => carried.includes(name)) }))
}

/** Once in a boot: an agent that was started anew finds the register as the one before left it. */
async function measureOnce({ pinned }: Ground, { manifest }: OpenImage): Promise<void> {
  const [{ value }] = await readBootState(pinned.tpm, [IMAGE_PCR])
  if (equal(value, measuredValue(imageDigest(manifest)))) return
  if (!equal(value, new Uint8Array(value.length)))
    throw new RecoveryError('LOADING', {
      message: `Register ${IMAGE_PCR} holds something else than this image: another one was measured in this boot.`,
      hint: 'Switch the host off and on; no system of this host may measure into that register.',
    })
  await measureImage(pinned.tpm, manifest)
}

/** Of the image register, which is zeros before. */
export function measuredValue(digest: Uint8Array): Uint8Array {
  return sha256(concat(new Uint8Array(32), digest))
}

/** Shows a witness which image is in the register. @returns Who confirmed it; null in mode `tpm-only`. */
async function confirmed({ ground, signal }: LoadParts, digest: Uint8Array): Promise<HostId | null> {
  const { plan } = ground.fleet()
  if (plan.mode === 'tpm-only') return null
  const statement = loadedStatement(ground.host, digest)
  for (let round = 0; ; round++) {
    for (const to of ground.fleet().witnesses) {
      signal.throwIfAborted()
      const { attest, signature } = await ground.hostTpm.quote(statement, [IMAGE_PCR])
      const message = { kind: 'loaded', imageDigest: digest, quote: { attest, signature } } as const
      const said = await sayTo(ground.network, to, message, ground.times.answerMs)
      if (said.kind === 'answered' && said.answer.kind === 'loaded') return to
      if (said.kind === 'answered' && said.answer.kind === 'failed')
        ground.report('image not confirmed', { by: to, why: said.answer.text })
    }
    if (round === 0) ground.alarm('no witness confirms the image yet; its services wait')
    await new Promise((resolve) => setTimeout(resolve, CONFIRM_MS))
  }
}

async function decryptTo(path: string, image: OpenImage, key: Secret): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  for await (const chunk of decryptImage(image, key)) await file.writeFile(chunk)
}
