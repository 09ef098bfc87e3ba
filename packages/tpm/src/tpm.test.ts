/** The connection against a transport that answers from a script. */

import { ByteWriter, encodePcrSelection, fromHex, hex, TPM_ALG } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { GetRandom, ReadClock } from './commands/general.ts'
import { HierarchyChangeAuth } from './commands/hierarchy.ts'
import { ReadPublic, Unseal } from './commands/object.ts'
import { PcrRead, readPcrs } from './commands/pcr.ts'
import { StartAuthSession } from './commands/session.ts'
import { LOCKOUT, namedByHandle } from './entity.ts'
import { isResponse, TpmError } from './error.ts'
import { hash, hmac } from './hashing.ts'
import { connect, type Tpm } from './tpm.ts'
import type { Transport } from './transport/transport.ts'

interface Script {
  readonly tpm: Tpm
  readonly sent: string[]
  readonly slept: number[]
}

/** Answers with the next entry; an entry that is a function sees the command. */
function scripted(
  answers: readonly (string | ((command: Uint8Array) => string | Promise<string>))[],
  retriesMax?: number,
): Script {
  const sent: string[] = []
  const slept: number[] = []
  const rest = [...answers]
  const transport: Transport = {
    kind: 'test',
    async send(command) {
      sent.push(hex(command))
      const next = rest.shift()
      if (next === undefined) throw new TpmError('TRANSPORT', { message: 'the script is over' })
      return fromHex(typeof next === 'string' ? next : await next(command))
    },
    close: () => Promise.resolve(),
  }
  const sleep = (durationMs: number): Promise<void> => {
    slept.push(durationMs)
    return Promise.resolve()
  }
  const random = (lengthBytes: number): Uint8Array => new Uint8Array(lengthBytes).fill(0xcc)
  return {
    tpm: connect(transport, { sleep, random, ...(retriesMax === undefined ? {} : { retriesMax }) }),
    sent,
    slept,
  }
}

function answer(body: string, tag = '8001'): string {
  return `${tag}${(10 + body.length / 2).toString(16).padStart(8, '0')}00000000${body}`
}
const refusal = (code: number): string => `80010000000a${code.toString(16).padStart(8, '0')}`
const nonceTpm = '11'.repeat(32)
const sessionStarted = answer(`020000000020${nonceTpm}`)

/** The answer of an unsalted, unbound HMAC session. */
function answerInSession(
  parameters: string,
  options: { commandCode: string; key?: Uint8Array; attributes?: number; mac?: string },
): string {
  const attributes = options.attributes ?? 1
  const newer = '22'.repeat(32)
  const rpHash = hexHash(`00000000${options.commandCode}${parameters}`)
  const tail = fromHex(`${newer}${'cc'.repeat(32)}${attributes.toString(16).padStart(2, '0')}`)
  const mac = options.mac ?? hex(hmac('sha256', options.key ?? new Uint8Array(), fromHex(rpHash), tail))
  const area = `0020${newer}${attributes.toString(16).padStart(2, '0')}${(mac.length / 2).toString(16).padStart(4, '0')}${mac}`
  return answer(`${(parameters.length / 2).toString(16).padStart(8, '0')}${parameters}${area}`, '8002')
}
const hexHash = (text: string): string => hex(hash('sha256', fromHex(text)))

describe('execute', () => {
  test('reads an answer and nothing besides', async () => {
    const { tpm, sent } = scripted([answer('0003aabbcc'), answer('0003aabbcc00'), answer('0003aabb')])
    const command = GetRandom({ bytesRequested: 3 })
    expect(hex((await tpm.execute(command)).randomBytes)).toBe('aabbcc')
    await expect(tpm.execute(command)).rejects.toMatchObject({ code: 'MALFORMED' })
    await expect(tpm.execute(command)).rejects.toMatchObject({ code: 'MALFORMED' })
    expect(sent).toEqual(Array(3).fill('80010000000c0000017b0003'))
  })

  test('names the response code and what it is about', async () => {
    const { tpm } = scripted([refusal(0x2c4)])
    const error = await tpm.execute(ReadClock()).catch((error: unknown) => error)
    expect(isResponse(error, 'TPM_RC_VALUE')).toBe(true)
    expect(error).toMatchObject({
      code: 'RESPONSE',
      message: 'TPM2_ReadClock: TPM_RC_VALUE (parameter 2) [0x2c4]',
      data: { command: 'ReadClock', responseCode: 0x2c4 },
      response: { about: { kind: 'parameter', number: 2 } },
    })
  })

  test.each([0x922, 0x908, 0x90a, 0x920])(
    'sends the same bytes again after 0x%s, waiting longer each time',
    async (code) => {
      const { tpm, sent, slept } = scripted([refusal(code), refusal(code), refusal(code), answer('0001aa')])
      await tpm.execute(GetRandom({ bytesRequested: 1 }))
      expect(new Set(sent).size).toBe(1)
      expect(slept).toEqual([5, 10, 20])
    },
  )

  test('gives up after a bounded number of retries', async () => {
    const { tpm, sent } = scripted(Array(5).fill(refusal(0x922)), 3)
    await expect(tpm.execute(ReadClock())).rejects.toThrow(/TPM_RC_RETRY \[0x922\], after 3 retries/)
    expect(sent.length).toBe(4)
  })

  test('does not send again what the TPM refused for good', async () => {
    const { tpm, sent } = scripted([refusal(0x921)])
    await expect(tpm.execute(ReadClock())).rejects.toMatchObject({
      code: 'RESPONSE',
      hint: expect.stringContaining('LockReset') as string,
    })
    expect(sent.length).toBe(1)
  })

  test.each([
    ['shorter than a header', '8001000000'],
    ['with a tag that was not asked for', answer('0001aa', '8002')],
  ])('refuses an answer %s', async (_, bytes) => {
    const { tpm } = scripted([bytes])
    await expect(tpm.execute(GetRandom({ bytesRequested: 1 }))).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  test('runs commands one after the other, also when one fails', async () => {
    let running = 0
    const slow = async (): Promise<string> => {
      running++
      expect(running).toBe(1)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      return answer('0001aa')
    }
    const { tpm, sent } = scripted([slow, refusal(0x101), slow, slow])
    const all = await Promise.allSettled(
      [1, 2, 3, 4].map((bytesRequested) => tpm.execute(GetRandom({ bytesRequested }))),
    )
    expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect(sent.map((bytes) => bytes.at(-1))).toEqual(['1', '2', '3', '4'])
  })

  test('refuses an object whose Name is not the hash of its public area', async () => {
    const area = '0008000b000000000000001000020102'
    const size = (area.length / 2).toString(16).padStart(4, '0')
    const { tpm } = scripted([answer(`${size}${area}0022000b${'00'.repeat(32)}0000`)])
    await expect(tpm.execute(ReadPublic({ objectHandle: 0x81000001 }))).rejects.toMatchObject({ code: 'MALFORMED' })
  })
})

describe('an HMAC session', () => {
  const item = namedByHandle(0x80000000, fromHex('7077'))
  const opened = async (
    script: Parameters<typeof scripted>[0],
  ): Promise<{ tpm: Tpm; unseal: () => Promise<{ outData: Uint8Array }> }> => {
    const { tpm } = scripted([sessionStarted, ...script])
    const session = await tpm.execute(StartAuthSession({ sessionType: 'hmac' }))
    return { tpm, unseal: () => tpm.execute(Unseal({ itemHandle: item }), { sessions: [session] }) }
  }
  const commandCode = '0000015e'

  test('accepts an answer with the HMAC of the authValue', async () => {
    const { unseal } = await opened([answerInSession('0002abcd', { commandCode, key: fromHex('7077') })])
    expect(hex((await unseal()).outData)).toBe('abcd')
  })

  test.each([
    ['of another authValue', { key: fromHex('7078') }],
    ['that is missing', { mac: '' }],
    ['for another command', { key: fromHex('7077'), commandCode: '0000015f' }],
  ])('refuses an answer with an HMAC %s', async (_, options) => {
    const { unseal } = await opened([answerInSession('0002abcd', { commandCode, ...options })])
    await expect(unseal()).rejects.toMatchObject({ code: 'HMAC' })
  })

  test('refuses an answer in which a parameter was changed', async () => {
    const good = answerInSession('0002abcd', { commandCode, key: fromHex('7077') })
    const { unseal } = await opened([good.replace('0002abcd', '0002abce')])
    await expect(unseal()).rejects.toMatchObject({ code: 'HMAC' })
  })

  test('refuses an answer that ends in the middle of the session area', async () => {
    const good = answerInSession('0002abcd', { commandCode, key: fromHex('7077') })
    const { unseal } = await opened([good.slice(0, -4)])
    await expect(unseal()).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  test('checks the answer with the authValue that the command has set', async () => {
    const newAuth = fromHex('0908')
    const { tpm } = scripted([sessionStarted, answerInSession('', { commandCode: '00000129', key: newAuth })])
    const session = await tpm.execute(StartAuthSession({ sessionType: 'hmac' }))
    await expect(
      tpm.execute(HierarchyChangeAuth({ authHandle: LOCKOUT, newAuth }), { sessions: [session] }),
    ).resolves.toBeUndefined()
  })

  test('must authorize, encrypt or audit something', async () => {
    const { tpm } = scripted([])
    await expect(tpm.execute(ReadClock(), { sessions: [undefined] })).rejects.toMatchObject({ code: 'USAGE' })
  })
})

describe('readPcrs', () => {
  test.each([
    ['another register', { hash: TPM_ALG.SHA256, pcrs: [1] }],
    ['a bank that nobody knows', { hash: 0x0f, pcrs: [0] }],
  ])('refuses %s than was asked for, where it would ask for ever', async (_what, selected) => {
    const body = new ByteWriter()
      .u32(7)
      .raw(encodePcrSelection([selected]))
      .u32(1)
      .tpm2b(new Uint8Array(32))
      .done()
    const { tpm } = scripted(Array.from({ length: 9 }, () => answer(hex(body))))
    const read = readPcrs(tpm, [{ hash: TPM_ALG.SHA256, pcrs: [0] }])
    await expect(read).rejects.toMatchObject({ name: 'TpmError', code: 'MALFORMED' })
  })

  const selection = [{ hash: TPM_ALG.SHA256, pcrs: [0, 1, 2] }]
  const values = (counter: number, map: string, bytes: readonly string[]): string => {
    const writer = new ByteWriter().u32(counter).u32(1).u16(TPM_ALG.SHA256).u8(3).raw(fromHex(map)).u32(bytes.length)
    for (const byte of bytes) writer.tpm2b(fromHex(byte.repeat(32)))
    return answer(hex(writer.done()))
  }

  test('asks again for what did not fit into one answer', async () => {
    const { tpm, sent } = scripted([values(7, '030000', ['0a', '0b']), values(7, '040000', ['0c'])])
    const banks = await readPcrs(tpm, selection)
    expect(Object.entries(banks.sha256 ?? {}).map(([index, value]) => [index, value[0]])).toEqual([
      ['0', 0x0a],
      ['1', 0x0b],
      ['2', 0x0c],
    ])
    expect(sent[1]).toBe('8001000000140000017e00000001000b03040000')
  })

  test('begins again when a register was extended in between', async () => {
    const script = [
      values(7, '030000', ['0a', '0b']),
      values(8, '040000', ['0c']),
      values(8, '070000', ['01', '02', '03']),
    ]
    const banks = await readPcrs(scripted(script).tpm, selection)
    expect(banks.sha256?.[0]?.[0]).toBe(1)
  })

  test('says so when a bank is not there', async () => {
    await expect(readPcrs(scripted([values(7, '000000', [])]).tpm, selection)).rejects.toMatchObject({ code: 'USAGE' })
  })

  test('refuses more values than the specification allows', async () => {
    const { tpm } = scripted([values(7, 'ff0100', Array<string>(9).fill('0a'))])
    await expect(tpm.execute(PcrRead({ pcrSelectionIn: selection }))).rejects.toMatchObject({ code: 'MALFORMED' })
  })
})
