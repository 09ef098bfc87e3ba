/** `reprise recovery image build`: from a folder, an OCI image or a kernel to an image and the key that opens it. */
import { open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { hex } from '@reprise/core'
import { RecoveryError } from '@reprise/recovery'
import { buildFrom, imageInput, PROGRAMS_BYTES_MAX } from '@reprise/recovery/loading'
import { imageDigest, Secret } from '@reprise/recovery/sealing'
import { EXIT_YES } from '../exit.ts'
import { imageAnswer, printImage } from '../print/recovery-image.ts'
import { openKeyFile, readWhole } from '../recovery-operators.ts'

interface Options {
  readonly version: number
  readonly key: string
  readonly passphraseFile?: string
  readonly output: string
  readonly services?: string
  readonly name: string
  readonly roster: number
  readonly approvals: number
  readonly contentKey?: string
  readonly commandLine?: string
  readonly ref?: string
  readonly scratch: string
  readonly json?: boolean
}

export async function action(options: object, [source]: readonly string[]): Promise<number> {
  const given = options as Options
  const { name, version, roster, approvals, output, scratch, json = false } = given
  if (!/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/.test(name)) {
    throw new RecoveryError('USAGE', {
      message: `An image cannot be called ${JSON.stringify(name)}.`,
      hint: 'Use 1 to 63 of a-z, 0-9, dot, hyphen and underscore, with a letter or digit at both ends.',
    })
  }
  const signer = await openKeyFile(given)
  const services = given.services === undefined ? undefined : await readWhole(given.services, PROGRAMS_BYTES_MAX)
  const input = await imageInput(source, given)
  using key = Secret.random(32)
  const keyFile = given.contentKey ?? `${output}.key`
  await writeKey(keyFile, key)
  try {
    const about = { name, version, roster, approvals }
    const seal = { target: output, key, sign: signer.sign, about }
    const manifest = await buildFrom({ input, services, scratch, seal })
    const shown = { path: output, manifest, digest: hex(imageDigest(manifest)), signer: signer.point, keyFile }
    if (json) process.stdout.write(`${JSON.stringify(imageAnswer(shown))}\n`)
    else printImage(shown)
    return EXIT_YES
  } catch (error) {
    await rm(keyFile, { force: true })
    throw error
  }
}

/** Before the image: there is never one that nobody can open. */
async function writeKey(path: string, key: Secret): Promise<void> {
  try {
    await using file = await open(path, 'wx', 0o600)
    await file.write(key.bytes)
    await file.sync()
    await using folder = await open(dirname(path), 'r')
    await folder.sync()
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST'
    throw new RecoveryError('USAGE', {
      message: isThere ? `${path} is there already.` : `${path} cannot be written: ${(cause as Error).message}`,
      hint: isThere
        ? 'It may be the key of an image that is in use: each image has a key of its own. Name another file with --content-key.'
        : 'Name another file with --content-key.',
      cause,
    })
  }
}
