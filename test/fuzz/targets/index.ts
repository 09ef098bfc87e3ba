import type { FuzzTarget } from '../target.ts'
import { channelFrames } from './channel.ts'
import { certificates } from './certificates.ts'
import { eventLogs, imaLists } from './event-logs.ts'
import { loadingPrograms, ociLayers } from './loading.ts'
import { recordBytes, recordJson, recordZip } from './records.ts'
import { recoveryGenerations, recoveryImages } from './release.ts'
import { tpmAnswers, tpmStructures } from './tpm.ts'
import { wasmModules } from './wasm.ts'

export const targets: readonly FuzzTarget[] = [
  recordBytes,
  recordZip,
  recordJson,
  eventLogs,
  imaLists,
  certificates,
  tpmStructures,
  tpmAnswers,
  wasmModules,
  recoveryImages,
  recoveryGenerations,
  channelFrames,
  loadingPrograms,
  ociLayers,
]
