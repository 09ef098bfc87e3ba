/**
 * Objects: keys and sealed data.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 3 §12 (objects), §24.1 (CreatePrimary), §28 (contexts).
 */

import {
  type ByteReader,
  ByteWriter,
  decodeTpmtPublic,
  encodePcrSelection,
  encodeTpmtPublic,
  equal,
  objectName,
  type PublicArea,
  type TpmtPublic,
} from '@reprise/core'
import { type Answer, type Command, command, type Executor, nothing } from '../command.ts'
import { type Entity, LoadedObject, namedByHandle, type ObjectEntity } from '../entity.ts'
import { TpmError } from '../error.ts'
import { hash } from '../hashing.ts'

/** TPMS_SENSITIVE_CREATE. */
export interface SensitiveCreate {
  /** The new object's authValue. */
  readonly userAuth?: Uint8Array
  /** What is sealed; at most 128 bytes. */
  readonly data?: Uint8Array
}

const EMPTY = new Uint8Array()

function creationParameters(inSensitive: SensitiveCreate, inPublic: PublicArea): Uint8Array {
  const sensitive = new ByteWriter()
    .tpm2b(inSensitive.userAuth ?? EMPTY)
    .tpm2b(inSensitive.data ?? EMPTY)
    .done()
  const outsideInfo = EMPTY
  return new ByteWriter()
    .tpm2b(sensitive)
    .tpm2b(encodeTpmtPublic(inPublic))
    .tpm2b(outsideInfo)
    .raw(encodePcrSelection([]))
    .done()
}

/** creationData, creationHash and creationTicket: only TPM2_CertifyCreation wants them. */
function skipCreation(parameters: ByteReader): void {
  parameters.tpm2b()
  parameters.tpm2b()
  parameters.raw(6)
  parameters.tpm2b()
}

/** The TPM's own statement of an object's Name must be the one its public area gives. */
function checkedName(area: TpmtPublic, name: Uint8Array): Uint8Array {
  if (equal(name, objectName(area, hash))) return name
  throw new TpmError('MALFORMED', {
    message: 'The TPM gives an object a Name that is not the hash of its public area.',
  })
}

function loaded(
  { tpm, handle }: Answer,
  area: TpmtPublic,
  name: Uint8Array,
  authValue: Uint8Array | undefined,
): LoadedObject {
  return new LoadedObject(tpm, { handle, name: checkedName(area, name), public: area, authValue })
}

/** The same template in the same hierarchy gives the same key. */
export function CreatePrimary(request: {
  readonly primaryHandle: Entity
  readonly inPublic: PublicArea
  readonly inSensitive?: SensitiveCreate
}): Command<LoadedObject> {
  const { primaryHandle, inPublic, inSensitive = {} } = request
  return command('CreatePrimary', {
    handles: [primaryHandle],
    authorizations: 1,
    parameters: creationParameters(inSensitive, inPublic),
    encryptable: 'both',
    answersWithHandle: true,
    decode: (answer) => {
      const area = decodeTpmtPublic(answer.parameters.tpm2b().slice())
      skipCreation(answer.parameters)
      return loaded(answer, area, answer.parameters.tpm2b(), inSensitive.userAuth)
    },
  })
}

/** A child as its parent wraps it: safe to store anywhere. */
export interface WrappedObject {
  readonly outPrivate: Uint8Array
  readonly outPublic: TpmtPublic
}

export function Create(request: {
  readonly parentHandle: Entity
  readonly inPublic: PublicArea
  readonly inSensitive?: SensitiveCreate
}): Command<WrappedObject> {
  const { parentHandle, inPublic, inSensitive = {} } = request
  return command('Create', {
    handles: [parentHandle],
    authorizations: 1,
    parameters: creationParameters(inSensitive, inPublic),
    encryptable: 'both',
    decode: ({ parameters }) => {
      const wrapped = {
        outPrivate: parameters.tpm2b().slice(),
        outPublic: decodeTpmtPublic(parameters.tpm2b().slice()),
      }
      skipCreation(parameters)
      return wrapped
    },
  })
}

/** @param request.authValue - The object's own, which the TPM does not check until it is used. */
export function Load(request: {
  readonly parentHandle: Entity
  readonly inPrivate: Uint8Array
  readonly inPublic: TpmtPublic
  readonly authValue?: Uint8Array
}): Command<LoadedObject> {
  return command('Load', {
    handles: [request.parentHandle],
    authorizations: 1,
    parameters: new ByteWriter().tpm2b(request.inPrivate).tpm2b(request.inPublic.raw).done(),
    encryptable: 'both',
    answersWithHandle: true,
    decode: (answer) => loaded(answer, request.inPublic, answer.parameters.tpm2b(), request.authValue),
  })
}

/** Loads a public key from outside. @param request.hierarchy - Where tickets made with it will hold. */
export function LoadExternal(request: {
  readonly inPublic: PublicArea
  readonly hierarchy: Entity
}): Command<LoadedObject> {
  const raw = encodeTpmtPublic(request.inPublic)
  return command('LoadExternal', {
    parameters: new ByteWriter().tpm2b(EMPTY).tpm2b(raw).u32(request.hierarchy.handle).done(),
    encryptable: 'both',
    answersWithHandle: true,
    decode: (answer) => loaded(answer, decodeTpmtPublic(raw), answer.parameters.tpm2b(), undefined),
  })
}

export function ReadPublic(request: { readonly objectHandle: number }): Command<{
  readonly outPublic: TpmtPublic
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
}> {
  return command('ReadPublic', {
    handles: [namedByHandle(request.objectHandle)],
    decode: ({ parameters }) => {
      const outPublic = decodeTpmtPublic(parameters.tpm2b().slice())
      return { outPublic, name: checkedName(outPublic, parameters.tpm2b()), qualifiedName: parameters.tpm2b() }
    },
  })
}

/** A persistent (or already loaded) object, ready for use. */
export async function openObject(tpm: Executor, handle: number, authValue?: Uint8Array): Promise<ObjectEntity> {
  const { outPublic, name } = await tpm.execute(ReadPublic({ objectHandle: handle }))
  return { handle, name, public: outPublic, authValue }
}

/** Makes a transient object persistent at `persistentHandle`; given a persistent object, removes it. */
export function EvictControl(request: {
  readonly auth: Entity
  readonly objectHandle: Entity
  readonly persistentHandle: number
}): Command<void> {
  return command('EvictControl', {
    handles: [request.auth, request.objectHandle],
    authorizations: 1,
    parameters: new ByteWriter().u32(request.persistentHandle).done(),
    decode: nothing,
  })
}

export function Unseal(request: { readonly itemHandle: Entity }): Command<{ readonly outData: Uint8Array }> {
  return command('Unseal', {
    handles: [request.itemHandle],
    authorizations: 1,
    encryptable: 'response',
    decode: ({ parameters }) => ({ outData: parameters.tpm2b() }),
  })
}

/**
 * Proves that both keys are in this TPM: gives back what `makeCredential` hid.
 *
 * @param request.activateHandle - The object whose Name the credential is bound to; an attestation key.
 * @param request.keyHandle - The endorsement key. Its template decides how it is authorized.
 */
export function ActivateCredential(request: {
  readonly activateHandle: Entity
  readonly keyHandle: Entity
  readonly credentialBlob: Uint8Array
  readonly secret: Uint8Array
}): Command<{ readonly certInfo: Uint8Array }> {
  return command('ActivateCredential', {
    handles: [request.activateHandle, request.keyHandle],
    authorizations: 2,
    parameters: new ByteWriter().tpm2b(request.credentialBlob).tpm2b(request.secret).done(),
    encryptable: 'both',
    decode: ({ parameters }) => ({ certInfo: parameters.tpm2b() }),
  })
}

/** Takes a transient object or a session out of the TPM. The context is opaque and only this TPM reads it back. */
export function ContextSave(request: { readonly saveHandle: number }): Command<{ readonly context: Uint8Array }> {
  return command('ContextSave', {
    handles: [namedByHandle(request.saveHandle)],
    decode: ({ parameters }) => ({ context: parameters.rest().slice() }),
  })
}

export function ContextLoad(request: { readonly context: Uint8Array }): Command<{ readonly loadedHandle: number }> {
  return command('ContextLoad', {
    parameters: request.context,
    answersWithHandle: true,
    decode: ({ handle }) => ({ loadedHandle: handle }),
  })
}
