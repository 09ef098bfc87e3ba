import type { FuzzTarget } from '../target.ts'
import { agentDeliveries, agentFiles, agentRequests } from './agent.ts'
import { board } from './board.ts'
import { channelFrames } from './channel.ts'
import { cleanMarkers } from './clean-marker.ts'
import { certificates } from './certificates.ts'
import { eventLogs, imaLists } from './event-logs.ts'
import {
  recoveryAnswers,
  recoveryAudits,
  recoveryKeys,
  recoveryOffers,
  recoveryRequests,
  recoverySignedPlans,
  recoveryStatements,
  recoveryUpdates,
} from './operators.ts'
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
  agentFiles,
  agentRequests,
  agentDeliveries,
  board,
  channelFrames,
  recoverySignedPlans,
  recoveryStatements,
  recoveryOffers,
  recoveryRequests,
  recoveryAnswers,
  recoveryKeys,
  recoveryAudits,
  recoveryUpdates,
  cleanMarkers,
  loadingPrograms,
  ociLayers,
]
