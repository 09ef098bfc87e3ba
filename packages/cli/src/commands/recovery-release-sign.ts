/** `reprise recovery release sign`: an operator's answer to a host that waits for its operators. */
import { answerRelease, readReleaseRequest, RELEASE_BYTES_MAX } from '@reprise/recovery/operators'
import { EXIT_YES } from '../exit.ts'
import { safe } from '../print/format.ts'
import {
  type KeyOptions,
  naming,
  openKeyFile,
  readSignedPlanFile,
  readWhole,
  refuseExisting,
  writeFileWhole,
} from '../recovery-operators.ts'

interface Options extends KeyOptions {
  readonly plan: string
  readonly key: string
  readonly escrowKey?: string
  readonly output: string
  readonly json?: boolean
}

export async function action(options: object, [path]: readonly string[]): Promise<number> {
  const { plan: planPath, key, escrowKey, output, json = false, ...passphrase } = options as Options
  await refuseExisting(output, 'name another file with -o')
  const { plan } = await readSignedPlanFile(planPath)
  const request = await naming(path, await readWhole(path, RELEASE_BYTES_MAX), (content) =>
    readReleaseRequest(content, plan),
  )
  const { host, epoch, madeMs, expirationS, needed, operators } = request.asked
  const untilMs = madeMs + expirationS * 1000
  // Said before anything is signed: an operator who sees another host here stops.
  if (!json)
    process.stderr.write(
      `${safe(`releases ${host}, epoch ${epoch}, once, in the session that waits there since ${new Date(madeMs).toISOString()}`)}\n`,
    )
  const signer = await openKeyFile({ key, ...passphrase })
  const escrow = escrowKey === undefined ? undefined : await openKeyFile({ key: escrowKey, ...passphrase })
  await writeFileWhole(output, await answerRelease(request, signer, escrow), 0o600)
  const until = new Date(untilMs).toISOString()
  process.stdout.write(
    json
      ? `${JSON.stringify({ schema: 'reprise/recovery-release-sign-result/v1', host, epoch, until, output })}\n`
      : `signed for ${safe(host)}: ${needed} of ${operators.length} operators must, until ${until} by its clock\n  wrote ${safe(output)}\n`,
  )
  return EXIT_YES
}
