/** `--trust`: Names of attestation keys, and a file: a trust policy or an authority's certificate, spec/certificates.md §6. */
import { open, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { EvidenceError } from '@reprise/core'
import type { TrustPolicy } from '@reprise/core/certificates'
import { nodeCrypto, readFailure, RunnerError } from '@reprise/runner'

/**
 * @param given - Each a Name in hex, or a file; at most one file.
 * @throws RunnerError `USAGE`, `INPUT_MISSING`, `INPUT_UNREADABLE`; {@link EvidenceError} for a file that is neither.
 */
export async function trustOf(given: readonly string[]): Promise<TrustPolicy> {
  // Loaded here: every other command does without the library that reads certificates.
  const { isAkName, NO_POLICY, readTrustPolicy, REVOCATION_LIST_BYTES_MAX, TRUST_POLICY_BYTES_MAX } =
    await import('@reprise/core/certificates')
  const names = given.filter(isAkName)
  const [file, ...more] = given.filter((value) => !isAkName(value))
  if (more.length > 0)
    throw new RunnerError('USAGE', {
      message: `--trust takes one policy: ${[file, ...more].join(' or ')}`,
      hint: 'a policy can name many authorities and attestation keys',
    })
  const policy = file === undefined ? NO_POLICY : await readPolicy(file)
  const known = names.filter((name) => !policy.attestationKeys.some((key) => key.name === name))
  return { ...policy, attestationKeys: [...policy.attestationKeys, ...known.map((name) => ({ name }))] }

  async function readPolicy(path: string): Promise<TrustPolicy> {
    const folder = dirname(path)
    try {
      return await readTrustPolicy(await readWhole(path, TRUST_POLICY_BYTES_MAX), {
        readBeside: (name) => readWhole(join(folder, name), REVOCATION_LIST_BYTES_MAX),
        crypto: nodeCrypto,
      })
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error
      const hint = error.hint ?? 'compare with docs/trust.md; a key by its Name is 000b and 64 hex digits'
      throw new EvidenceError(error.code, { message: `${path}: ${error.message}`, hint, cause: error })
    }
  }
}

async function readWhole(path: string, lengthBytesMax: number): Promise<Uint8Array> {
  try {
    // A pipe would be waited for.
    if (!(await stat(path)).isFile())
      throw new RunnerError('INPUT_UNREADABLE', { message: `${path} is not a file`, hint: 'name a file' })
    await using file = await open(path)
    const { size } = await file.stat()
    if (size > lengthBytesMax)
      throw new EvidenceError('LIMIT', { message: `${path} has ${size} bytes; at most ${lengthBytesMax} are read` })
    return await file.readFile()
  } catch (error) {
    throw error instanceof RunnerError || error instanceof EvidenceError ? error : readFailure(error, path)
  }
}
