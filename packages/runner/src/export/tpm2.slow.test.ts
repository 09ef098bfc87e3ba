import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { fromHex, type PcrBanks } from '@reprise/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exportTpm2, type Tpm2Attestation } from './tpm2.ts'

const run = promisify(execFile)

/** What README.txt tells the reader to paste: its indented lines. */
async function commandsOf(folder: string): Promise<string> {
  const readme = await readFile(join(folder, 'README.txt'), 'utf8')
  return readme
    .split('\n')
    .filter((line) => line.startsWith('    '))
    .join('\n')
}

const checkAll = async (folder: string): Promise<{ stdout: string; stderr: string }> =>
  run('sh', ['-c', await commandsOf(folder)], { cwd: folder })

describe('tpm2_checkquote', () => {
  let base: string
  let swtpm: ChildProcess
  const inBase = (name: string): string => join(base, name)
  const tool = async (name: string, ...args: string[]): Promise<string> => {
    const env = { ...process.env, TPM2TOOLS_TCTI: `swtpm:path=${inBase('s')}` }
    return (await run(name, args, { cwd: base, env })).stdout
  }

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'reprise-tpm2-'))
    const state = `dir=${base},mode=0600`
    const sockets = ['--server', `type=unixio,path=${inBase('s')}`, '--ctrl', `type=unixio,path=${inBase('s.ctrl')}`]
    const flags = ['--flags', 'not-need-init,startup-clear']
    swtpm = spawn('swtpm', ['socket', '--tpm2', '--tpmstate', state, ...sockets, ...flags])
    while (swtpm.exitCode === null && !(existsSync(inBase('s')) && existsSync(inBase('s.ctrl')))) await sleep(10)
    await tool('tpm2_createek', '-G', 'ecc', '-c', 'ek.ctx')
    await tool('tpm2_pcrextend', `7:sha256=${'11'.repeat(32)}`)
  })
  afterAll(async () => {
    if (swtpm.exitCode === null) {
      swtpm.kill()
      await once(swtpm, 'exit')
    }
    await rm(base, { recursive: true })
  })

  /** Makes an attestation key and quotes with it, one quote for each nonce. */
  async function quotes(key: string, algorithm: string[], nonces: readonly string[]): Promise<Tpm2Attestation[]> {
    await tool('tpm2_flushcontext', '-t')
    await tool('tpm2_createak', '-C', 'ek.ctx', '-c', `${key}.ctx`, ...algorithm, '-u', `${key}.tpmt`, '-f', 'tpmt')
    await tool('tpm2_flushcontext', '-t')
    const sha256: Record<number, Uint8Array> = {}
    for (const [, pcr, value] of (await tool('tpm2_pcrread', 'sha256:0,1,2,3,4,5,6,7,10,16')).matchAll(
      /(\d+) *: 0x(\w+)/g,
    )) {
      sha256[Number(pcr)] = fromHex(value.toLowerCase())
    }
    const attestations: Tpm2Attestation[] = []
    for (const nonce of nonces) {
      const files = ['-m', 'q.attest', '-s', 'q.sig']
      await tool(
        'tpm2_quote',
        '-c',
        `${key}.ctx`,
        '-l',
        'sha256:0,1,2,3,4,5,6,7,10,16',
        '-q',
        nonce,
        '-g',
        'sha256',
        ...files,
      )
      attestations.push({
        attest: new Uint8Array(await readFile(inBase('q.attest'))),
        signature: new Uint8Array(await readFile(inBase('q.sig'))),
        pcrs: { sha256 },
        qualification: fromHex(nonce),
        host: 0,
      })
    }
    return attestations
  }

  test.each([
    ['ecc', ['-G', 'ecc', '-g', 'sha256', '-s', 'ecdsa']],
    ['rsa', ['-G', 'rsa', '-g', 'sha256', '-s', 'rsassa']],
  ])('accepts every exported quote of a software TPM, %s', async (key, algorithm) => {
    const attestations = await quotes(key, algorithm, ['aabb', '11'.repeat(32), '22'.repeat(32)])
    const akPublic = new Uint8Array(await readFile(inBase(`${key}.tpmt`)))
    const folder = inBase(`${key}-out`)
    await exportTpm2({ akPublics: [akPublic], attestations }, folder)
    const { stdout } = await checkAll(folder)
    expect(stdout).not.toContain('does not hold')
    expect(stdout.match(/^sig: /gm)).toHaveLength(3)

    await writeFile(join(folder, '0001.qualification'), '33'.repeat(32))
    expect((await checkAll(folder)).stdout).toContain('0001 does not hold')
  })

  test('accepts exported quotes of a cloud machine, one a bank', async () => {
    const vector = new URL('../../../../vectors/quote/gce-cos85-nonce9009/input.json', import.meta.url)
    const input = JSON.parse(await readFile(vector, 'utf8')) as {
      ak_tpmt_public_b64: string
      nonce_hex: string
      quotes: { attest_b64: string; signature_b64: string; pcrs: Record<string, Record<string, string>> }[]
    }
    const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'))
    const attestations = input.quotes.map(({ attest_b64, signature_b64, pcrs }): Tpm2Attestation => {
      const banks = Object.entries(pcrs).map(([bank, values]) => [
        bank,
        Object.fromEntries(Object.entries(values).map(([pcr, value]) => [pcr, fromHex(value)])),
      ])
      return {
        attest: bytes(attest_b64),
        signature: bytes(signature_b64),
        pcrs: Object.fromEntries(banks) as PcrBanks,
        qualification: fromHex(input.nonce_hex),
        host: 0,
      }
    })
    const folder = inBase('cloud-out')
    await exportTpm2({ akPublics: [bytes(input.ak_tpmt_public_b64)], attestations }, folder)
    const { stdout } = await checkAll(folder)
    expect(stdout).not.toContain('does not hold')
    expect(stdout.match(/^sig: /gm)).toHaveLength(attestations.length)
  })
})
