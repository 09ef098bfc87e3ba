/**
 * The authorization area: puts sessions and passwords around a command, and checks the answer's.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §18 (command and response structure), §19.6 (HMAC), §21.
 */

import { ByteReader, ByteWriter, concat, equal, TPM_RH, TPM_ST, TPMA_SESSION, TruncatedError } from '@reprise/core'
import type { Command, ExecuteOptions } from '../command.ts'
import { effectiveAuth, type Entity } from '../entity.ts'
import { TpmError } from '../error.ts'
import { sessionAttributes, type Session, type SessionUse } from './session.ts'

export const HEADER_BYTES = 10

/** One place in the authorization area; without a session it is the entity's password. */
type Slot = { readonly kind: 'password'; readonly entity: Entity } | ({ readonly kind: 'session' } & SessionUse)

/** A command ready to be sent, and how to open its answer. */
export interface SealedCommand {
  readonly bytes: Uint8Array
  /**
   * @param response - All bytes of an answer with TPM_RC_SUCCESS.
   * @throws {@link TpmError} `HMAC` or `MALFORMED`.
   */
  open(response: Uint8Array): { readonly handle: number; readonly parameters: Uint8Array }
}

/** Draws new nonces and builds the bytes; must run in the turn in which the command is sent. */
export function sealCommand(
  command: Command<unknown>,
  options: ExecuteOptions,
  random: (lengthBytes: number) => Uint8Array,
): SealedCommand {
  const slots = layOut(command, options.sessions ?? [])
  const uses = slots.filter((slot) => slot.kind === 'session')
  for (const { session } of uses) session.nonceCaller = random(session.nonceTpm.length)

  const decryptor = uses.find((use) => use.attributes & TPMA_SESSION.decrypt)
  const encryptor = uses.find((use) => use.attributes & TPMA_SESSION.encrypt)
  const parameters = decryptor
    ? decryptor.session.encryptFirst(command.parameters, decryptor.entity)
    : command.parameters
  const exchange = { commandCode: command.commandCode, names: command.handles.map((entity) => entity.name), parameters }

  const area = new ByteWriter()
  for (const [i, slot] of slots.entries()) {
    if (slot.kind === 'password') {
      area.u32(TPM_RH.PW).u16(0).u8(TPMA_SESSION.continueSession).tpm2b(effectiveAuth(slot.entity))
      continue
    }
    // The first session vouches for the nonces of the others, so that nobody can take them out.
    const others =
      i === 0 ? [...new Set([decryptor, encryptor])].filter((use) => use !== undefined && use !== slot) : []
    const otherNonces = concat(...others.map((use) => use?.session.nonceTpm ?? new Uint8Array()))
    const mac = slot.session.commandHmac(slot, exchange, otherNonces)
    area.u32(slot.session.handle).tpm2b(slot.session.nonceCaller).u8(slot.attributes).tpm2b(mac)
  }

  const body = new ByteWriter()
  for (const entity of command.handles) body.u32(entity.handle)
  if (slots.length > 0) body.u32(area.lengthBytes).raw(area.done())
  const content = body.raw(parameters).done()
  const tag = slots.length > 0 ? TPM_ST.SESSIONS : TPM_ST.NO_SESSIONS
  const bytes = new ByteWriter()
    .u16(tag)
    .u32(HEADER_BYTES + content.length)
    .u32(command.commandCode)
    .raw(content)
    .done()
  return { bytes, open: (response) => openResponse(response, command, slots, encryptor) }
}

function layOut(command: Command<unknown>, sessions: readonly (Session | undefined)[]): readonly Slot[] {
  const canDecrypt = command.encryptable === 'command' || command.encryptable === 'both'
  const canEncrypt = command.encryptable === 'response' || command.encryptable === 'both'
  const crypting = sessions.find((session) => session?.encrypt)
  return Array.from({ length: Math.max(command.authorizations, sessions.length) }, (_, i): Slot => {
    const session = sessions[i]
    const entity = i < command.authorizations ? command.handles[i] : undefined
    if (session === undefined) {
      if (entity === undefined)
        throw new TpmError('USAGE', { message: `TPM2_${command.name}: session ${i} has nothing to authorize` })
      return { kind: 'password', entity }
    }
    const crypts = { decrypt: canDecrypt && session === crypting, encrypt: canEncrypt && session === crypting }
    return { kind: 'session', session, entity, attributes: sessionAttributes(session, crypts) }
  })
}

function openResponse(
  response: Uint8Array,
  command: Command<unknown>,
  slots: readonly Slot[],
  encryptor: SessionUse | undefined,
): { readonly handle: number; readonly parameters: Uint8Array } {
  try {
    const reader = new ByteReader(response)
    const tag = reader.u16()
    if (tag !== (slots.length > 0 ? TPM_ST.SESSIONS : TPM_ST.NO_SESSIONS)) {
      throw new TpmError('MALFORMED', { message: `TPM2_${command.name}: answer with tag 0x${tag.toString(16)}` })
    }
    reader.raw(HEADER_BYTES - 2)
    const handle = command.answersWithHandle ? reader.u32() : 0
    if (slots.length === 0) return { handle, parameters: reader.rest() }
    const parameters = reader.raw(reader.u32())
    for (const slot of slots) checkSlot(slot, reader, command, parameters)
    reader.end()
    return { handle, parameters: encryptor ? encryptor.session.decryptFirst(parameters, encryptor.entity) : parameters }
  } catch (cause) {
    if (!(cause instanceof TruncatedError)) throw cause
    throw new TpmError('MALFORMED', { message: `TPM2_${command.name}: answer is cut: ${cause.message}`, cause })
  }
}

function checkSlot(slot: Slot, reader: ByteReader, command: Command<unknown>, responseParameters: Uint8Array): void {
  const nonceTpm = reader.tpm2b()
  const attributes = reader.u8()
  const mac = reader.tpm2b()
  if (slot.kind === 'password') return
  slot.session.nonceTpm = nonceTpm.slice()
  const changed = command.authValueAfter !== undefined && slot.entity === command.handles[0]
  const entity = changed && slot.entity ? { ...slot.entity, authValue: command.authValueAfter } : slot.entity
  const expected = slot.session.responseHmac(
    { ...slot, entity, attributes },
    { commandCode: command.commandCode, responseParameters },
  )
  if (!equal(mac, expected)) {
    throw new TpmError('HMAC', {
      message: `TPM2_${command.name}: the HMAC of the answer is ${mac.length === 0 ? 'missing' : 'wrong'}`,
      hint: 'The authValue is not the one the TPM holds, or something between host and TPM changes answers.',
    })
  }
}
