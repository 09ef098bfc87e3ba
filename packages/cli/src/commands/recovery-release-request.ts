/** `reprise recovery release request`: what the operators of a host that waits have to sign. */
import { writeFile } from 'node:fs/promises'
import { RecoveryError } from '@reprise/recovery'
import { askAgent } from '@reprise/recovery/agent'
import { writeFailure } from '@reprise/runner'
import { EXIT_YES } from '../exit.ts'
import { duration, safe } from '../print/format.ts'

const EXPIRES_S_MAX = 86_400

export async function action(options: object): Promise<number> {
  const {
    state,
    output,
    expires,
    json = false,
  } = options as {
    readonly state: string
    readonly output: string
    readonly expires: number
    readonly json?: boolean
  }
  const expirationS = Math.ceil(expires / 1000)
  if (expirationS > EXPIRES_S_MAX)
    throw new RecoveryError('USAGE', { message: '--expires is at most 24h.', hint: 'make another request tomorrow' })
  const { request } = await askAgent(state, { ask: 'release-request', expirationS })
  await writeFile(output, String(request)).catch((error: unknown) => {
    throw writeFailure(error, output, 'the request')
  })
  process.stdout.write(
    json
      ? `${JSON.stringify({ schema: 'reprise/recovery-release-request-result/v1', output, expirationS })}\n`
      : `the host waits for its operators, for ${duration(expirationS * 1000)}\n  wrote ${safe(output)}\n  next: each of them signs it: reprise recovery release sign\n`,
  )
  return EXIT_YES
}
