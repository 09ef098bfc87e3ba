/** Bytes on the wire, written out by hand from Part 3 of the specification. */

import { hex, TPM_ALG, TPM_CAP, TPM_SU, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import type { Command } from '../command.ts'
import { ENDORSEMENT, LOCKOUT, namedByHandle, OWNER } from '../entity.ts'
import { sealCommand } from '../session/authorization.ts'
import { attestationKeyTemplate } from '../templates.ts'
import { Certify, Quote, Sign } from './attest.ts'
import { FlushContext } from './flush.ts'
import { GetCapability, GetRandom, ReadClock, SelfTest, Shutdown, Startup } from './general.ts'
import { Clear, DictionaryAttackParameters } from './hierarchy.ts'
import { NvDefineSpace, NvIncrement, NvRead } from './nv.ts'
import { CreatePrimary, EvictControl, ReadPublic } from './object.ts'
import { PcrExtend, PcrRead } from './pcr.ts'
import { policySignedMessage } from './policy.ts'

const key = namedByHandle(0x81008001, utf8('k'))
/** An authorization area with one password. */
const password = (handle: string, authValue = '0000'): string =>
  `${handle}${(9 + (authValue.length - 4) / 2).toString(16).padStart(8, '0')}40000009000001${authValue}`
const nvIndex = namedByHandle(0x01800100)
const select = [{ hash: TPM_ALG.SHA256, pcrs: [0, 23] }]

const cases: readonly [string, Command<unknown>, string][] = [
  ['Startup(CLEAR)', Startup({ startupType: TPM_SU.CLEAR }), '80010000000c000001440000'],
  ['Shutdown(STATE)', Shutdown({ shutdownType: TPM_SU.STATE }), '80010000000c000001450001'],
  ['SelfTest', SelfTest({ fullTest: true }), '80010000000b0000014301'],
  ['GetRandom', GetRandom({ bytesRequested: 8 }), '80010000000c0000017b0008'],
  ['ReadClock', ReadClock(), '80010000000a00000181'],
  [
    'GetCapability',
    GetCapability({ capability: TPM_CAP.TPM_PROPERTIES, property: 0x201, propertyCount: 1 }),
    '8001000000160000017a000000060000020100000001',
  ],
  ['PCR_Read', PcrRead({ pcrSelectionIn: select }), '8001000000140000017e00000001000b03010080'],
  [
    'PCR_Extend',
    PcrExtend({ pcrHandle: 16, digests: { sha256: new Uint8Array(32).fill(0xaa) } }),
    `80020000004100000182${password('00000010')}00000001000b${'aa'.repeat(32)}`,
  ],
  ['FlushContext', FlushContext({ flushHandle: 0x80000000 }), '80010000000e0000016580000000'],
  ['ReadPublic', ReadPublic({ objectHandle: 0x81010001 }), '80010000000e0000017381010001'],
  [
    'EvictControl',
    EvictControl({ auth: OWNER, objectHandle: namedByHandle(0x80000001), persistentHandle: 0x81008001 }),
    `80020000002300000120${password('4000000180000001')}81008001`,
  ],
  [
    'Quote',
    Quote({ signHandle: key, qualifyingData: utf8('n'), pcrSelect: select }),
    `80020000002b00000158${password('81008001', '00016b')}00016e001000000001000b03010080`,
  ],
  [
    'Certify, with a password for each handle',
    Certify({ objectHandle: namedByHandle(0x80000000), signHandle: key, qualifyingData: utf8('n') }),
    `80020000002e000001488000000081008001000000134000000900000100004000000900000100016b00016e0010`,
  ],
  [
    'Sign',
    Sign({ keyHandle: key, digest: utf8('d') }),
    `8002000000290000015d${password('81008001', '00016b')}00016400108024400000070000`,
  ],
  [
    'NV_DefineSpace',
    NvDefineSpace({
      authHandle: OWNER,
      publicInfo: {
        nvIndex: 0x01800100,
        nameAlg: TPM_ALG.SHA256,
        attributes: 0x02020012,
        authPolicy: new Uint8Array(),
        dataSize: 8,
      },
    }),
    `80020000002d0000012a${password('40000001')}0000000e01800100000b0202001200000008`,
  ],
  ['NV_Increment', NvIncrement({ authHandle: OWNER, nvIndex }), `80020000001f00000134${password('4000000101800100')}`],
  [
    'NV_Read',
    NvRead({ authHandle: OWNER, nvIndex, size: 8 }),
    `8002000000230000014e${password('4000000101800100')}00080000`,
  ],
  [
    'DictionaryAttackParameters',
    DictionaryAttackParameters({ lockHandle: LOCKOUT, newMaxTries: 31, newRecoveryTime: 600, lockoutRecovery: 86400 }),
    `8002000000270000013a${password('4000000a')}0000001f0000025800015180`,
  ],
  ['Clear', Clear({ authHandle: LOCKOUT }), `80020000001b00000126${password('4000000a')}`],
]

describe('on the wire', () => {
  test.each(cases)('%s', (_, command, bytes) => {
    const sealed = hex(sealCommand(command, {}, () => new Uint8Array()).bytes)
    expect(sealed).toBe(bytes)
    expect(Number.parseInt(sealed.slice(4, 12), 16)).toBe(sealed.length / 2)
  })

  test('an attestation key has the attributes 0x50472 and its unique bytes', () => {
    const command = CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic: attestationKeyTemplate(utf8('host')) })
    const area = '0023000b00050472000000100018000b000300100004686f73740000'
    expect(hex(command.parameters)).toBe(
      `000400000000${(area.length / 2).toString(16).padStart(4, '0')}${area}000000000000`,
    )
  })

  test('an authValue loses its trailing zeros', () => {
    const command = NvIncrement({ authHandle: namedByHandle(0x40000001, Uint8Array.of(1, 0, 2, 0, 0)), nvIndex })
    expect(hex(sealCommand(command, {}, () => new Uint8Array()).bytes)).toContain('400000090000010003010002')
  })

  test("an expiration below zero is two's complement", () => {
    expect(hex(policySignedMessage({ expiration: -1 }))).toBe('ffffffff')
  })
})
