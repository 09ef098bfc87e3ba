/**
 * TPM_PT_STARTUP_CLEAR, as an audit session vouches for it: the command that asks for it alone, and its answer.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 2 §8.7 (TPMA_STARTUP_CLEAR), §10.9 (TPMS_CAPABILITY_DATA), Part 3 §30.2.
 */

import { ByteWriter } from '../bytes/index.ts'
import type { AuditedExchange } from './audit.ts'
import { STARTUP_CLEAR_ORDERLY, TPM_CAP, TPM_CC, TPM_PT } from './constants.ts'
import { decodeExactly, readYesNo, structureError } from './structure.ts'

/** What TPM2_GetCapability is asked for. */
export const STARTUP_CLEAR_REQUEST = {
  capability: TPM_CAP.TPM_PROPERTIES,
  property: TPM_PT.STARTUP_CLEAR,
  propertyCount: 1,
} as const

/** @param responseParameters - As the TPM answered. */
export function startupClearExchange(responseParameters: Uint8Array): AuditedExchange {
  const { capability, property, propertyCount } = STARTUP_CLEAR_REQUEST
  return {
    commandCode: TPM_CC.GetCapability,
    names: [],
    parameters: new ByteWriter().u32(capability).u32(property).u32(propertyCount).done(),
    responseParameters,
  }
}

/**
 * @returns Whether the TPM was shut down before its last Startup.
 * @throws {@link EvidenceError} `STRUCTURE` unless the answer is exactly this one property.
 */
export function decodeStartupClear(responseParameters: Uint8Array): { readonly orderly: boolean } {
  return decodeExactly('TPMA_STARTUP_CLEAR', responseParameters, (reader) => {
    readYesNo(reader)
    const [capability, count, property, value] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()]
    if (capability !== STARTUP_CLEAR_REQUEST.capability || count !== 1 || property !== STARTUP_CLEAR_REQUEST.property)
      throw structureError('the answer is not TPM_PT_STARTUP_CLEAR alone')
    return { orderly: (value & STARTUP_CLEAR_ORDERLY) !== 0 }
  })
}
