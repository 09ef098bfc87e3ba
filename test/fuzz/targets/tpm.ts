/** What comes from a TPM: structures in records, and answers to a client. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import {
  ByteWriter,
  decodePcrSelection,
  decodeTpmsAttest,
  decodeTpmsNvPublic,
  decodeTpmtPublic,
  decodeTpmtSignature,
  encodePcrSelection,
  encodeTpmsAttest,
  encodeTpmsNvPublic,
  encodeTpmtPublic,
  encodeTpmtSignature,
  EvidenceError,
  nvName,
  objectName,
  TPM_ALG,
  TPM_ST,
} from '@reprise/core'
import {
  connect,
  ENDORSEMENT,
  GetCapability,
  GetRandom,
  namedByHandle,
  NvReadPublic,
  PcrRead,
  Quote,
  ReadClock,
  readPcrs,
  ReadPublic,
  StartAuthSession,
  TpmError,
  Unseal,
  type Command,
  type Tpm,
} from '@reprise/tpm'
import { nodeCrypto } from '../../record/node-crypto.ts'
import { mutateBytes } from '../mutate.ts'
import { pick, type Random } from '../random.ts'
import { unlessRefused, type FuzzTarget } from '../target.ts'

interface Input {
  readonly ak_tpmt_public_b64?: string
  readonly quotes: readonly { readonly attest_b64: string; readonly signature_b64: string }[]
}

const folder = resolve(import.meta.dirname, '../../../vectors/quote')
const b64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'))

function readInputs(): readonly Input[] {
  return readdirSync(folder)
    .filter((name) => name !== 'README.md')
    .map((name) => JSON.parse(readFileSync(resolve(folder, name, 'input.json'), 'utf8')) as Input)
}

interface Codec {
  readonly samples: readonly Uint8Array[]
  /** Decodes and encodes again. */
  readonly again: (bytes: Uint8Array) => Uint8Array
  /** Where a chip may leave out zeros: the same is then what is encoded once more. */
  readonly isLoose?: true
}

function codecs(inputs: readonly Input[]): readonly Codec[] {
  const quotes = inputs.flatMap((input) => input.quotes)
  const nvPublic = {
    nvIndex: 0x1800000,
    nameAlg: TPM_ALG.SHA256,
    attributes: 0x22040018,
    authPolicy: new Uint8Array(),
    dataSize: 8,
  }
  const selection = encodePcrSelection([
    { hash: TPM_ALG.SHA256, pcrs: [0, 7, 23] },
    { hash: TPM_ALG.SHA1, pcrs: [1] },
  ])
  return [
    {
      samples: quotes.map(({ attest_b64 }) => b64(attest_b64)),
      again: (bytes) => encodeTpmsAttest(decodeTpmsAttest(bytes)),
    },
    {
      samples: quotes.map(({ signature_b64 }) => b64(signature_b64)),
      again: (bytes) => encodeTpmtSignature(decodeTpmtSignature(bytes)),
      isLoose: true,
    },
    {
      samples: inputs.flatMap(({ ak_tpmt_public_b64: ak }) => (ak === undefined ? [] : [b64(ak)])),
      again: (bytes) => encodeTpmtPublic(decodeTpmtPublic(bytes)),
    },
    { samples: [encodeTpmsNvPublic(nvPublic)], again: (bytes) => encodeTpmsNvPublic(decodeTpmsNvPublic(bytes)) },
    { samples: [selection], again: (bytes) => encodePcrSelection(decodePcrSelection(bytes)) },
  ]
}

export const tpmStructures: FuzzTarget = {
  name: 'tpm-structure',
  claim: 'a changed structure of a TPM is refused, or encodes to the same bytes again, a signature but for its zeros',
  byDay: 4500,
  prepare() {
    const all = codecs(readInputs())
    const others = all.flatMap(({ samples }) => samples)
    return Promise.resolve((random) => {
      const { samples, again, isLoose } = pick(random, all)
      const bytes = mutateBytes(random, pick(random, samples), others)
      const encoded = unlessRefused(EvidenceError, () => again(bytes))
      if (encoded === undefined) return
      deepStrictEqual(Buffer.from(isLoose ? again(encoded) : encoded), Buffer.from(isLoose ? encoded : bytes))
    })
  },
}

interface Exchange {
  /** Parameters of the answer, and whether a handle stands before them. */
  readonly answer: Uint8Array
  readonly tag?: number
  readonly ask: (tpm: Tpm) => Promise<unknown>
}

const executing =
  (command: Command<unknown>) =>
  (tpm: Tpm): Promise<unknown> =>
    tpm.execute(command)

function exchanges(inputs: readonly Input[]): readonly Exchange[] {
  const pcrSelect = [{ hash: TPM_ALG.SHA256, pcrs: [0, 7] }]
  const key = b64(inputs.find(({ ak_tpmt_public_b64: ak }) => ak !== undefined)?.ak_tpmt_public_b64 ?? '')
  const { attest_b64, signature_b64 } = inputs[0].quotes[0]
  const name = objectName(decodeTpmtPublic(key), nodeCrypto.hash)
  const bytes32 = new Uint8Array(32).fill(0x5a)
  const done = new Uint8Array([0, 0, 1, 0, 0])
  const withSession = (parameters: Uint8Array): Uint8Array =>
    new ByteWriter().u32(parameters.length).raw(parameters).raw(done).done()
  const pcrs = new ByteWriter().u32(7).raw(encodePcrSelection(pcrSelect)).u32(2).tpm2b(bytes32).tpm2b(bytes32).done()
  const quoted = new ByteWriter().tpm2b(b64(attest_b64)).raw(b64(signature_b64)).done()
  const nv = encodeTpmsNvPublic({
    nvIndex: 0x1800000,
    nameAlg: TPM_ALG.SHA256,
    attributes: 0,
    authPolicy: new Uint8Array(),
    dataSize: 8,
  })
  const sessions = TPM_ST.SESSIONS
  return [
    { answer: new ByteWriter().tpm2b(bytes32).done(), ask: executing(GetRandom({ bytesRequested: 32 })) },
    { answer: new Uint8Array(25), ask: executing(ReadClock()) },
    { answer: pcrs, ask: executing(PcrRead({ pcrSelectionIn: pcrSelect })) },
    { answer: pcrs, ask: (tpm) => readPcrs(tpm, pcrSelect) },
    {
      answer: new ByteWriter().tpm2b(key).tpm2b(name).tpm2b(name).done(),
      ask: executing(ReadPublic({ objectHandle: 0x81000001 })),
    },
    {
      answer: new ByteWriter()
        .tpm2b(nv)
        .tpm2b(nvName(decodeTpmsNvPublic(nv), nodeCrypto.hash))
        .done(),
      ask: executing(NvReadPublic({ nvIndex: 0x1800000 })),
    },
    {
      answer: new ByteWriter().u8(0).u32(6).u32(2).u32(0x100).u32(1).u32(0x105).u32(2).done(),
      ask: executing(GetCapability({ capability: 6, property: 0x100, propertyCount: 2 })),
    },
    {
      answer: new ByteWriter().u32(0x02000000).tpm2b(bytes32).done(),
      ask: executing(StartAuthSession({ sessionType: 'hmac' })),
    },
    {
      answer: withSession(quoted),
      tag: sessions,
      ask: executing(Quote({ signHandle: namedByHandle(0x81000001), qualifyingData: bytes32, pcrSelect })),
    },
    {
      answer: withSession(new ByteWriter().tpm2b(bytes32).done()),
      tag: sessions,
      ask: executing(Unseal({ itemHandle: ENDORSEMENT })),
    },
  ]
}

function responseOf({ answer, tag = TPM_ST.NO_SESSIONS }: Exchange): Uint8Array {
  return new ByteWriter()
    .u16(tag)
    .u32(10 + answer.length)
    .u32(0)
    .raw(answer)
    .done()
}

export const tpmAnswers: FuzzTarget = {
  name: 'tpm-answer',
  claim: 'a changed answer of a TPM is taken or refused with TpmError, and the client comes to an end',
  byDay: 1500,
  async prepare() {
    const all = exchanges(readInputs())
    // What is not taken as it is tests nothing.
    for (const exchange of all) await exchange.ask(tpmThatAnswers(() => responseOf(exchange)))
    return async (random) => {
      const exchange = pick(random, all)
      const others = all.map(responseOf)
      await refusedOnlyWith(() =>
        exchange.ask(tpmThatAnswers(() => changedResponse(random, responseOf(exchange), others))),
      )
    }
  },
}

/** Half of them with the length that the header should have, or nothing behind it would be read. */
function changedResponse(random: Random, response: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  const changed = mutateBytes(random, response, others)
  if (random(2) === 0 && changed.length >= 10) {
    const view = new DataView(changed.buffer, changed.byteOffset)
    view.setUint32(2, changed.length)
    view.setUint32(6, 0)
  }
  return changed
}

function tpmThatAnswers(answer: () => Uint8Array): Tpm {
  const transport = { kind: 'test' as const, send: () => Promise.resolve(answer()), close: () => Promise.resolve() }
  const random = (lengthBytes: number): Uint8Array => new Uint8Array(lengthBytes).fill(0xcc)
  return connect(transport, { random, sleep: () => Promise.resolve() })
}

async function refusedOnlyWith(run: () => Promise<unknown>): Promise<void> {
  try {
    await run()
  } catch (error) {
    if (!(error instanceof TpmError)) throw error
    strictEqual(typeof error.message, 'string')
  }
}
