/** An image, for people and as JSON. */
import { hex } from '@reprise/core'
import type { ImageManifest } from '@reprise/recovery/sealing'

export interface ShownImage {
  readonly path: string
  readonly manifest: ImageManifest
  /** What stands for it in registers and logs, hex. */
  readonly digest: string
  /** Whose signature was checked or made: the point, hex; undefined: nobody was named. */
  readonly signer: string | undefined
  /** Where the key stands that was made with it. */
  readonly keyFile?: string
  /** Every chunk was decrypted and the payload's digest is the manifest's. */
  readonly isDecrypted?: boolean
}

const SCHEMA = 'reprise/recovery-image-result/v1'

export function imageAnswer({ path, manifest, digest, signer, keyFile, isDecrypted = false }: ShownImage): object {
  const { schema: _schema, payload, ...about } = manifest
  const { kind, lengthBytes, chunkBytes, sha256, root, keyCommitment } = payload
  return {
    schema: SCHEMA,
    path,
    digest,
    ...about,
    payload: { kind, lengthBytes, chunkBytes, sha256: hex(sha256), root: hex(root), keyCommitment: hex(keyCommitment) },
    signer: signer ?? null,
    ...(keyFile !== undefined && { keyFile }),
    decrypted: isDecrypted,
  }
}

export function printImage({ path, manifest, digest, signer, keyFile, isDecrypted = false }: ShownImage): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  const { name, version, roster, approvals, services, payload } = manifest
  line(`${name}   version ${version}   ${path}   ${digest.slice(0, 4)}…${digest.slice(-4)}`)
  line(`  payload   ${payload.kind}, ${payload.lengthBytes.toLocaleString('en')} bytes, sha256 ${hex(payload.sha256)}`)
  line(`  services  ${services.length === 0 ? 'none' : services.join(', ')}`)
  line(`  made for  roster ${roster}, approvals ${approvals} and later ones`)
  line(
    `  signed    ${signer === undefined ? 'by whom was not asked: --signer' : `by ${signer.slice(0, 10)}…${signer.slice(-8)}`}`,
  )
  if (keyFile !== undefined) line(`  opened by ${keyFile}: for provisioning; whoever has it reads the image`)
  else
    line(
      isDecrypted
        ? '  whole     every chunk was decrypted, and the payload is what was signed'
        : '  whole     as far as length and table of chunks go; chunks were not decrypted: --content-key',
    )
}
