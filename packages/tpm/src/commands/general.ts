/**
 * Start-up, capabilities, random numbers, clock.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 3 §9 (start-up), §10 (testing), §16 (random), §29 (clock), §30 (capabilities).
 */

import {
  ByteReader,
  ByteWriter,
  type PcrSelection,
  readPcrSelection,
  readTimeInfo,
  TPM_CAP,
  TPM_CC,
  type TPM_SU,
  type TpmCommandName,
  type TpmsTimeInfo,
} from '@reprise/core'
import { type Command, command, type Executor, nothing } from '../command.ts'
import { TpmError } from '../error.ts'

/** `CLEAR` or `STATE` of `TPM_SU`. */
export type StartupType = (typeof TPM_SU)[keyof typeof TPM_SU]

export function Startup(request: { readonly startupType: StartupType }): Command<void> {
  return command('Startup', { parameters: new ByteWriter().u16(request.startupType).done(), decode: nothing })
}

/** Announces a loss of power; without it the next start is marked as not orderly. */
export function Shutdown(request: { readonly shutdownType: StartupType }): Command<void> {
  return command('Shutdown', { parameters: new ByteWriter().u16(request.shutdownType).done(), decode: nothing })
}

export function SelfTest(request: { readonly fullTest: boolean }): Command<void> {
  return command('SelfTest', { parameters: Uint8Array.of(request.fullTest ? 1 : 0), decode: nothing })
}

/** @param request.bytesRequested - The TPM may give fewer, at most one digest of its largest hash. */
export function GetRandom(request: { readonly bytesRequested: number }): Command<{ readonly randomBytes: Uint8Array }> {
  return command('GetRandom', {
    parameters: new ByteWriter().u16(request.bytesRequested).done(),
    encryptable: 'response',
    decode: ({ parameters }) => ({ randomBytes: parameters.tpm2b() }),
  })
}

export function ReadClock(): Command<{ readonly currentTime: TpmsTimeInfo }> {
  return command('ReadClock', { decode: ({ parameters }) => ({ currentTime: readTimeInfo(parameters) }) })
}

export interface CapabilityRequest {
  /** A value of `TPM_CAP`. */
  readonly capability: number
  readonly property: number
  readonly propertyCount: number
}

/** TPMS_CAPABILITY_DATA of the kinds that are understood. */
export type CapabilityData =
  | { readonly capability: typeof TPM_CAP.HANDLES; readonly handles: readonly number[] }
  | { readonly capability: typeof TPM_CAP.PCRS; readonly pcrs: readonly PcrSelection[] }
  | { readonly capability: typeof TPM_CAP.ALGS; readonly algorithms: readonly number[] }
  | { readonly capability: typeof TPM_CAP.ECC_CURVES; readonly curves: readonly number[] }
  | { readonly capability: typeof TPM_CAP.COMMANDS; readonly commandCodes: readonly number[] }
  | { readonly capability: typeof TPM_CAP.TPM_PROPERTIES; readonly properties: ReadonlyMap<number, number> }

export interface Capability {
  readonly moreData: boolean
  readonly capabilityData: CapabilityData
  /** The answer's whole parameter area, for an audit digest. */
  readonly raw: Uint8Array
}

export function GetCapability(request: CapabilityRequest): Command<Capability> {
  const { capability, property, propertyCount } = request
  return command('GetCapability', {
    parameters: new ByteWriter().u32(capability).u32(property).u32(propertyCount).done(),
    decode: ({ parameters }) => decodeCapability(parameters.rest()),
  })
}

/** Reads the parameter area of TPM2_GetCapability, such as one that an audit session vouches for. */
export function decodeCapability(raw: Uint8Array): Capability {
  const reader = new ByteReader(raw)
  const moreData = reader.u8() !== 0
  const capabilityData = readCapabilityData(reader)
  reader.end()
  return { moreData, capabilityData, raw }
}

function readCapabilityData(reader: ByteReader): CapabilityData {
  const capability = reader.u32()
  switch (capability) {
    case TPM_CAP.ALGS:
      return { capability, algorithms: readList(reader, () => readAlgorithm(reader)) }
    case TPM_CAP.ECC_CURVES:
      return { capability, curves: readList(reader, () => reader.u16()) }
    case TPM_CAP.COMMANDS:
      // TPMA_CC, Part 2 §8.9: the low 16 bits are the index, bit 29 marks a vendor's own.
      return { capability, commandCodes: readList(reader, () => reader.u32() & 0x2000ffff) }
    case TPM_CAP.HANDLES:
      return { capability, handles: readList(reader, () => reader.u32()) }
    case TPM_CAP.PCRS:
      return { capability, pcrs: readPcrSelection(reader) }
    case TPM_CAP.TPM_PROPERTIES:
      return { capability, properties: new Map(readList(reader, () => [reader.u32(), reader.u32()] as const)) }
    default:
      throw new TpmError('MALFORMED', { message: `TPM2_GetCapability: capability ${capability} is not supported` })
  }
}

/** TPMS_ALG_PROPERTY; what the algorithm is good for is not asked. */
function readAlgorithm(reader: ByteReader): number {
  const algorithm = reader.u16()
  reader.u32()
  return algorithm
}

function readList<T>(reader: ByteReader, one: () => T): readonly T[] {
  const count = reader.u32()
  const list: T[] = []
  for (let i = 0; i < count; i++) list.push(one())
  return list
}

/** MAX_CAP_HANDLES and MAX_TPM_PROPERTIES of common TPMs; more comes in further answers. */
const CAPABILITY_COUNT = 64

/** All handles of one type. @param handleType - A value of `TPM_HT`. */
export async function readHandles(tpm: Executor, handleType: number): Promise<readonly number[]> {
  const handles: number[] = []
  for (let property = handleType; ;) {
    const request = { capability: TPM_CAP.HANDLES, property, propertyCount: CAPABILITY_COUNT }
    const { moreData, capabilityData } = await tpm.execute(GetCapability(request))
    if (capabilityData.capability !== TPM_CAP.HANDLES) throw wrongCapability(capabilityData.capability)
    handles.push(...capabilityData.handles)
    const last = capabilityData.handles.at(-1)
    if (!moreData || last === undefined) return handles
    property = last + 1
  }
}

/** Properties that the TPM has among `count` numbers from `first`, values of `TPM_PT`. */
export async function readProperties(tpm: Executor, first: number, count = 1): Promise<ReadonlyMap<number, number>> {
  const request = { capability: TPM_CAP.TPM_PROPERTIES, property: first, propertyCount: count }
  const { capabilityData } = await tpm.execute(GetCapability(request))
  if (capabilityData.capability !== TPM_CAP.TPM_PROPERTIES) throw wrongCapability(capabilityData.capability)
  return new Map([...capabilityData.properties].filter(([property]) => property < first + count))
}

/** Whether the TPM has this command; optional ones, such as PolicyAuthorizeNV, some chips lack. */
export async function hasCommand(tpm: Executor, name: TpmCommandName): Promise<boolean> {
  const request = { capability: TPM_CAP.COMMANDS, property: TPM_CC[name], propertyCount: 1 }
  const { capabilityData } = await tpm.execute(GetCapability(request))
  if (capabilityData.capability !== TPM_CAP.COMMANDS) throw wrongCapability(capabilityData.capability)
  return capabilityData.commandCodes[0] === TPM_CC[name]
}

function wrongCapability(capability: number): TpmError {
  return new TpmError('MALFORMED', {
    message: `TPM2_GetCapability answered with capability ${capability}, which was not asked for`,
  })
}
