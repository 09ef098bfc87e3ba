/** Keys of people in files. */
import { createPrivateKey } from 'node:crypto'
import { utf8 } from '@reprise/core'
import { expect, test } from 'vitest'
import { makeKey, readKey } from './keys.ts'
import { verifierOf } from './signatures.ts'

const MESSAGE = utf8('message')
const derOf = (pem: string): Buffer => createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' })
const pemOf = (der: Buffer): Uint8Array =>
  utf8(`-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`)

test('a key signs what its point verifies, with and without a passphrase', () => {
  for (const passphrase of [undefined, 'a passphrase']) {
    const { pem, point } = makeKey(passphrase)
    const key = readKey(utf8(pem), 'ada.key', passphrase)
    expect(key.point).toBe(point)
    expect(verifierOf(point)(MESSAGE, key.sign(MESSAGE))).toBe(true)
  }
})

test('a file whose halves are not of one key is refused: OpenSSL takes them as they stand', () => {
  const [mine, other] = [0, 1].map(() => derOf(makeKey(undefined).pem))
  const both = Buffer.concat([mine.subarray(0, -64), other.subarray(-64)])
  expect(() => readKey(pemOf(both), 'ada.key')).toThrow(
    'ada.key is not a key that can be used: its public half is not that of its private half.',
  )
  expect(readKey(pemOf(mine), 'ada.key').point).toHaveLength(130)
})
