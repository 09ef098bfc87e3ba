/** Why a TPM cannot hold an identity, said so that its owner knows what to do. */

import { TPM_ALG, TPM_CAP, TPM_ECC } from '@reprise/core'
import { GetCapability, isResponse, type Tpm } from '@reprise/tpm'
import { HostError } from '../error.ts'

export function isWrongAuth(error: unknown): boolean {
  return isResponse(error, 'TPM_RC_BAD_AUTH') || isResponse(error, 'TPM_RC_AUTH_FAIL')
}

/** Part 3 §12.1, §24.1: what a TPM says to a template with an algorithm, curve or size that it does not have. */
const UNSUPPORTED = ['ASYMMETRIC', 'CURVE', 'HASH', 'KDF', 'KEY_SIZE', 'MODE', 'SCHEME', 'SYMMETRIC', 'TYPE', 'VALUE']

export function isUnsupported(error: unknown): boolean {
  return UNSUPPORTED.some((name) => isResponse(error, `TPM_RC_${name}`))
}

/** @param so - What cannot be done therefore. */
export function locked(hierarchy: 'owner' | 'endorsement', so: string, cause: unknown): HostError {
  return new HostError('TPM_LOCKED', {
    message: `The ${hierarchy} hierarchy of this TPM has a password, so that ${so}.`,
    hint: `Take it away (tpm2_changeauth -c ${hierarchy}), or use a software TPM: REPRISE_TPM=software`,
    cause,
  })
}

function unfit(lacks: string): HostError {
  return new HostError('TPM_UNFIT', {
    message: `This TPM ${lacks}, which an identity needs.`,
    hint: 'Look for an update of its firmware, or use a software TPM: REPRISE_TPM=software',
  })
}

const ALGORITHMS = { ECC: TPM_ALG.ECC, ECDSA: TPM_ALG.ECDSA, 'SHA-256': TPM_ALG.SHA256 } as const
const PCRS = [0, 1, 2, 3, 4, 5, 6, 7]
/** More than any TPM has. */
const COUNT_MAX = 256

/**
 * Asked before anything is made in the TPM.
 *
 * @throws {@link HostError} `TPM_UNFIT` when it lacks ECDSA with SHA-256 on P-256, or SHA-256 registers.
 */
export async function checkFit(tpm: Tpm): Promise<void> {
  const ask = async (capability: number, propertyCount = COUNT_MAX) =>
    (await tpm.execute(GetCapability({ capability, property: 0, propertyCount }))).capabilityData
  const algorithms = await ask(TPM_CAP.ALGS)
  if (algorithms.capability === TPM_CAP.ALGS) {
    for (const [name, algorithm] of Object.entries(ALGORITHMS))
      if (!algorithms.algorithms.includes(algorithm)) throw unfit(`does not know ${name}`)
  }
  const curves = await ask(TPM_CAP.ECC_CURVES)
  if (curves.capability === TPM_CAP.ECC_CURVES && !curves.curves.includes(TPM_ECC.NIST_P256))
    throw unfit('has no keys on the curve P-256')
  const banks = await ask(TPM_CAP.PCRS, 1)
  const bank = banks.capability === TPM_CAP.PCRS ? banks.pcrs.find(({ hash }) => hash === TPM_ALG.SHA256) : undefined
  if (!PCRS.every((pcr) => bank?.pcrs.includes(pcr))) throw unfit('has no SHA-256 bank of registers switched on')
}
