/** `reprise recovery keys new`: a key for an operator, the approver, or whoever signs images. */
import { makeKey } from '@reprise/recovery/operators'
import { readPassphrase } from '../authority-context.ts'
import { EXIT_YES } from '../exit.ts'
import { advise } from '../print/format.ts'
import { promptNewPassphrase } from '../passphrase.ts'
import { refuseExisting, writeFileWhole } from '../recovery-operators.ts'

interface Options {
  readonly output: string
  readonly as: KeyRole
  readonly escrow?: string
  readonly passphraseFile?: string
  readonly passphrase?: boolean
  readonly json?: boolean
}

export type KeyRole = 'operator' | 'approver' | 'image-signer'

export async function action(options: object, [name]: readonly string[]): Promise<number> {
  const { output, as, escrow, json = false, ...passphrases } = options as Options
  const hint = 'a key that is lost cannot be made again: name another file, or move that one away'
  for (const path of [output, ...(escrow === undefined ? [] : [escrow])]) await refuseExisting(path, hint)
  const passphrase =
    passphrases.passphrase === true
      ? await promptNewPassphrase(`new passphrase of ${name}`)
      : await readPassphrase(passphrases)
  const signing = makeKey(passphrase)
  const opening = escrow === undefined ? undefined : makeKey(passphrase)
  await writeFileWhole(output, signing.pem, 0o600)
  if (escrow !== undefined && opening !== undefined) await writeFileWhole(escrow, opening.pem, 0o600)
  const answer = { name, as, key: signing.point, escrow: opening?.point }
  process.stdout.write(
    json ? `${JSON.stringify({ schema: 'reprise/recovery-key/v1', ...answer })}\n` : `${yamlOf(answer)}\n`,
  )
  if (passphrase === undefined)
    advise(`${output} is not encrypted: whoever reads it signs as ${name}. Keep it offline, or use --passphrase.`)
  return EXIT_YES
}

/** The lines for the plan. */
export function yamlOf({
  name,
  as,
  key,
  escrow,
}: {
  readonly name: string
  readonly as: KeyRole
  readonly key: string
  readonly escrow?: string | undefined
}): string {
  if (as === 'approver') return `approver: "${key}"`
  if (as === 'image-signer') return `imageSigners: ["${key}"]`
  return `- { name: ${name}, key: "${key}"${escrow === undefined ? '' : `, escrow: "${escrow}"`} }`
}
