/** A whole release on swtpm: power cut, both halves, content key, image; then everything that must not work any more. */

import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { concat, hex } from '@reprise/core'
import { readPcrs } from '@reprise/tpm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { approvalMessage } from './approval.ts'
import { CAP_UNTOUCHED, capBoot } from './boot-state.ts'
import {
  commitGeneration,
  contentKey,
  generationRoot,
  type Keeper,
  openTpmHalf,
  prepareGeneration,
  readGenerations,
  renewLease,
} from './generations.ts'
import { decryptImage, type ImageSource, openImage } from './image/open-image.ts'
import { sealImage } from './image/seal-image.ts'
import { imageDigest, measureImage, raiseImageFloors, readImageFloors } from './image/take.ts'
import { openCounter, readCounter } from './indexes.ts'
import { combineShares, keepShare, openShare } from './quorum-half.ts'
import { Secret } from './secret.ts'
import { person, TestChip } from './testing.ts'
import { sha256 } from './words.ts'

const [approver, builder, operator] = [person(), person(), person()]
const lease = { boots: [TestChip.stateOf('release 1')], cap: CAP_UNTOUCHED, resetBudget: 6 }

let folder: string
let chip: TestChip
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reprise-release-test-'))
  chip = await TestChip.lay()
  await chip.boot()
})
afterAll(async () => {
  await chip[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

function sourceOf(path: string): ImageSource {
  const image = new Uint8Array(readFileSync(path))
  return {
    where: path,
    sizeBytes: image.length,
    read: async (into, position) => {
      const piece = image.subarray(position, position + into.length)
      into.set(piece)
      return piece.length
    },
  }
}

async function seal(version: number, key: Secret): Promise<string> {
  const [payload, target] = [join(folder, 'payload'), join(folder, `${version}.image`)]
  writeFileSync(payload, randomBytes(200_000))
  const about = { name: 'recovery', version, roster: 1, approvals: 0, services: ['web'] }
  const sign = (message: Uint8Array): Uint8Array => builder.sign(message).signature
  await sealImage({ payload, target, kind: 'bytes', key, about, sign, chunkBytes: 1 << 16 })
  return target
}

test('a host comes back by its TPM and its witnesses, once, and takes no older image afterwards', async () => {
  let file: Uint8Array | undefined
  const keeper: Keeper = {
    pinned: chip,
    read: async () => file,
    write: async (bytes) => {
      file = bytes
    },
    random: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  }
  using oldKey = Secret.random(32)
  using newKey = Secret.random(32)
  const [oldImage, newImage] = [await seal(1, oldKey), await seal(2, newKey)]
  const { epoch, shares } = await prepareGeneration(keeper, {
    host: 'web-1',
    mode: 'quorum',
    lease,
    witnesses: 3,
    threshold: 2,
    operators: { needed: 1, signing: [operator.point], escrow: [operator.point] },
    contentKeys: [
      { version: 1, key: oldKey },
      { version: 2, key: newKey },
    ],
  })
  // One TPM plays the witnesses too.
  const kept = await Promise.all(
    shares.map((share) => keepShare(chip, share, { id: 'db-4', approver: approver.point })),
  )
  await commitGeneration(keeper)

  await chip.cut()
  await chip.boot()
  const { current } = await readGenerations(keeper)
  const number = await readCounter(chip, await openCounter(chip, 'approvals'))
  const counter = await openCounter(chip, 'approvals')
  const approval = { purpose: 'share', host: 'db-4', counter, number, boot: lease.boots[0] } as const
  const signed = { approval, signature: approver.sign(approvalMessage(approval)) }
  const given = []
  for (const one of kept.slice(1)) {
    const opened = await openShare(chip, one, { approval: signed, approver: approver.point })
    if (opened.kind === 'refused') throw new Error(opened.rule)
    given.push({ host: 'web-1', epoch, index: one.index, bytes: opened.secret.bytes })
  }
  const half = await openTpmHalf(chip, current!)
  if (half.kind === 'refused') throw new Error(half.rule)
  const plan = { host: 'web-1', epoch, threshold: 2, digests: current!.shareDigests }
  using quorum = await combineShares(given, plan)
  using root = generationRoot(current!, { tpm: half.secret, quorum })
  half.secret[Symbol.dispose]()

  using key = contentKey(current!, root, 2)
  const trust = { signers: [builder.point], floors: await readImageFloors(chip, current!) }
  const image = await openImage(sourceOf(newImage), trust)
  const parts: Uint8Array[] = []
  for await (const part of decryptImage(image, key)) parts.push(part.slice())
  expect(hex(sha256(concat(...parts)))).toBe(hex(image.manifest.payload.sha256))
  await measureImage(chip.tpm, image.manifest)
  const { sha256: bank } = await readPcrs(chip.tpm, [{ hash: 0x000b, pcrs: [15] }])
  expect(hex(bank![15])).toBe(hex(sha256(new Uint8Array(32), imageDigest(image.manifest))))
  await capBoot(chip.tpm)
  await raiseImageFloors(chip, current!, image.manifest)
  expect(await renewLease(keeper, root, lease)).toBe('written')

  expect(await openTpmHalf(chip, (await readGenerations(keeper)).current!)).toMatchObject({ rule: 'boot' })
  const floors = await readImageFloors(chip, current!)
  expect(floors).toEqual({ version: 2, roster: 1, approvals: 0 })
  await expect(openImage(sourceOf(oldImage), { ...trust, floors })).rejects.toMatchObject({
    code: 'IMAGE_OLD',
    data: { number: 'version', is: 1, floor: 2 },
  })
  await openImage(sourceOf(newImage), { ...trust, floors })
})
