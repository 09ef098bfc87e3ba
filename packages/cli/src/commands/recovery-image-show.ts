/** `reprise recovery image show`: manifest, signature, and whether it is whole. */
import { createHash } from 'node:crypto'
import { equal, fromHex, hex } from '@reprise/core'
import { RecoveryError } from '@reprise/recovery'
import {
  decryptImage,
  imageDigest,
  inspectImage,
  isImageSignedBy,
  type OpenImage,
  openImageFile,
  Secret,
} from '@reprise/recovery/sealing'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { advise } from '../print/format.ts'
import { imageAnswer, printImage } from '../print/recovery-image.ts'
import { openKeyFile, readWhole } from '../recovery-operators.ts'

interface Options {
  readonly signer?: string
  readonly contentKey?: string
  readonly json?: boolean
}

export async function action(options: object, [path]: readonly string[]): Promise<number> {
  const { signer, contentKey, json = false } = options as Options
  const point = signer === undefined ? undefined : await signerPoint(signer)
  await using source = await openImageFile(path)
  const image = await inspectImage(source)
  const isSigned = point === undefined || isImageSignedBy(point, image)
  if (contentKey !== undefined) await decryptAll(image, contentKey)
  const { manifest } = image
  const shown = {
    path,
    manifest,
    digest: hex(imageDigest(manifest)),
    signer: point !== undefined && isSigned ? hex(point) : undefined,
    isDecrypted: contentKey !== undefined,
  }
  if (json) process.stdout.write(`${JSON.stringify(imageAnswer(shown))}\n`)
  else if (isSigned) printImage(shown)
  if (!isSigned) advise(`${path} is not signed by ${signer}`)
  return isSigned ? EXIT_YES : EXIT_NO
}

async function decryptAll(image: OpenImage, keyFile: string): Promise<void> {
  using key = Secret.owning(await readWhole(keyFile, 32))
  if (key.bytes.length !== 32) {
    throw new RecoveryError('USAGE', {
      message: `${keyFile} is no key of an image: those have 32 bytes.`,
      hint: 'Name the file that `image build` wrote.',
    })
  }
  const hash = createHash('sha256')
  for await (const chunk of decryptImage(image, key)) hash.update(chunk)
  if (equal(hash.digest(), image.manifest.payload.sha256)) return
  throw new RecoveryError('IMAGE', {
    message: `${image.source.where}: the payload has another digest than its manifest says.`,
    hint: 'Whoever built it made a mistake, or lied. Build it again.',
  })
}

/** A point in hex, or the file of a key. */
async function signerPoint(text: string): Promise<Uint8Array> {
  return fromHex(/^04[0-9a-f]{128}$/.test(text) ? text : (await openKeyFile({ key: text })).point)
}
