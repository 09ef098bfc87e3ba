/** openssl as the second opinion of what an authority issues. */
import { execFileSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hex } from '@reprise/core'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { imitationHost } from './imitation-host.ts'
import { AuthorityRoom, enrol } from './rooms.ts'

let room: AuthorityRoom
beforeEach(async () => {
  room = await AuthorityRoom.create()
})
afterEach(() => room[Symbol.asyncDispose]())

test('a certificate is one by the strict rules of openssl', async () => {
  const { certificates } = await enrol(await room.open({ approve: 'software' }), imitationHost())
  writeFileSync(join(room.home, 'leaf.pem'), new X509Certificate(certificates[0]).toString())
  const words = ['verify', '-x509_strict', '-attime', String(room.nowMs / 1000), '-CAfile', 'root.pem', 'leaf.pem']
  expect(execFileSync('openssl', words, { cwd: room.home, encoding: 'utf8' })).toBe('leaf.pem: OK\n')
})

test('the fingerprint is that of openssl', async () => {
  const authority = await room.open()
  const pem = execFileSync('openssl', ['x509', '-in', 'root.pem', '-noout', '-pubkey'], { cwd: room.home })
  const der = execFileSync('openssl', ['pkey', '-pubin', '-outform', 'DER'], { input: pem })
  expect(hex(authority.id)).toBe(createHash('sha256').update(der).digest('hex'))
})
