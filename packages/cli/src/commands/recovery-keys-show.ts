/** `reprise recovery keys show`: the public part of a key. */
import { isEncryptedKey, KEY_BYTES_MAX } from '@reprise/recovery/operators'
import { EXIT_YES } from '../exit.ts'
import { openKeyFile, readWhole } from '../recovery-operators.ts'

interface Options {
  readonly passphraseFile?: string
  readonly json?: boolean
}

export async function action(options: object, [path]: readonly string[]): Promise<number> {
  const { json = false, ...passphrase } = options as Options
  const { point } = await openKeyFile({ key: path, ...passphrase })
  const isEncrypted = isEncryptedKey(await readWhole(path, KEY_BYTES_MAX))
  process.stdout.write(
    json
      ? `${JSON.stringify({ schema: 'reprise/recovery-key/v1', key: point, isEncrypted })}\n`
      : `${point}\n  P-256, ${isEncrypted ? 'with a passphrase' : 'not encrypted'}\n`,
  )
  return EXIT_YES
}
