/** For tests: a host's software TPM that is booted, cut off and shut down, and people with keys. */

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { concat, hex, TPM_CAP, TPM_CC, TPM_SU, type TpmSignature } from '@reprise/core'
import { connect, PcrExtend, Shutdown, swtpm, type Tpm, type Transport } from '@reprise/tpm'
import { layTpm } from '@reprise/tpm/testing'
import { type BootState, readBootState } from './boot-state.ts'
import { type Opened, type PinnedTpm, readStorageKey } from './storage.ts'
import { sha256 } from './words.ts'

/** The registers that a boot of these tests measures into. */
const BOOT_PCRS = [4, 7]

export class TestChip implements PinnedTpm, AsyncDisposable {
  readonly folder: string
  readonly scratch: string
  storageKey = new Uint8Array()
  /** What somebody on the bus saw since power was last there: commands and answers in turn. */
  readonly wire: Uint8Array[] = []
  #swtpm: swtpm.Swtpm | undefined
  #tpm: Tpm | undefined
  readonly persist = (): Promise<void> => swtpm.persist(this.folder)

  private constructor(scratch: string) {
    this.scratch = scratch
    this.folder = join(scratch, 'tpm')
  }

  /** A TPM as it left its factory, pinned, and off. @param which - Those of one number are the same TPM. */
  static async lay(which = 0): Promise<TestChip> {
    const chip = new TestChip(mkdtempSync(join(tmpdir(), 'reprise-release-')))
    await layTpm(chip.folder, which)
    await chip.boot()
    chip.storageKey = new Uint8Array(await readStorageKey(chip.tpm))
    await chip.shutDown()
    return chip
  }

  /** The same TPM again, in the boot `release 1`. This one must be off. */
  async copy(): Promise<TestChip> {
    const chip = new TestChip(mkdtempSync(join(tmpdir(), 'reprise-release-')))
    cpSync(this.folder, chip.folder, { recursive: true })
    chip.storageKey = this.storageKey
    await chip.boot()
    return chip
  }

  get tpm(): Tpm {
    if (this.#tpm === undefined) throw new Error('the TPM is off')
    return this.#tpm
  }

  /** Power, and what firmware and system measure. */
  async boot(release = 'release 1'): Promise<void> {
    this.wire.length = 0
    this.#swtpm = await swtpm.start(this.folder)
    const transport = await this.#swtpm.open()
    const send = async (bytes: Uint8Array): Promise<Uint8Array> => {
      const answer = await transport.send(bytes)
      this.wire.push(bytes.slice(), answer.slice())
      return answer
    }
    this.#tpm = connect({ kind: transport.kind, send, close: () => transport.close() })
    for (const pcrHandle of BOOT_PCRS)
      await this.tpm.execute(PcrExtend({ pcrHandle, digests: { sha256: sha256(new TextEncoder().encode(release)) } }))
  }

  bootState(): Promise<BootState> {
    return readBootState(this.tpm, BOOT_PCRS)
  }

  /** The same as {@link bootState} in another boot, without booting it. */
  static stateOf(release: string): BootState {
    const measured = sha256(new TextEncoder().encode(release))
    return BOOT_PCRS.map((pcr) => ({ pcr, value: sha256(concat(new Uint8Array(32), measured)) }))
  }

  /** Power goes without a word to the TPM. */
  async cut(): Promise<void> {
    const { pid } = this.#swtpm ?? { pid: 0 }
    process.kill(pid, 'SIGKILL')
    // A zombie has no command line.
    while (existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`).length > 0)
      await new Promise((resolve) => setTimeout(resolve, 2))
    await this.tpm.close().catch(() => undefined)
    this.#tpm = undefined
  }

  /** TPM2_Shutdown(STATE), then power goes: what hibernation does. */
  async suspend(): Promise<void> {
    await this.tpm.execute(Shutdown({ shutdownType: TPM_SU.STATE }))
    await this.cut()
  }

  /** TPM2_Shutdown(CLEAR), then power goes. */
  async shutDown(): Promise<void> {
    if (this.#tpm !== undefined && this.#swtpm !== undefined) await swtpm.stop(this.#swtpm, { tpm: this.#tpm })
    this.#tpm = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutDown()
    rmSync(this.scratch, { recursive: true, force: true })
  }
}

/** TPM2_GetCapability, Part 3 §30.2: a header of 10 bytes, then capability and property. */
const PROPERTY_AT = 14

/** The same TPM without a command: it says so when it is asked, and refuses the command. */
export function withoutCommand(transport: Transport, code: number): Transport {
  return {
    kind: 'test',
    close: () => transport.close(),
    send(bytes) {
      const command = Buffer.from(bytes)
      // Asked from there on, it names the next one that it has.
      const isAsked =
        command.readUInt32BE(6) === TPM_CC.GetCapability &&
        command.readUInt32BE(10) === TPM_CAP.COMMANDS &&
        command.readUInt32BE(PROPERTY_AT) === code
      if (isAsked) command.writeUInt32BE(code + 1, PROPERTY_AT)
      if (command.readUInt32BE(6) !== code) return transport.send(new Uint8Array(command))
      // TPM_RC_COMMAND_CODE
      return Promise.resolve(Uint8Array.of(0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x43))
    },
  }
}

/** Somebody with a P-256 key. */
export interface Person {
  readonly point: Uint8Array
  readonly key: KeyObject
  readonly sign: (message: Uint8Array) => TpmSignature
}

export function person(): Person {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const point = concat(Uint8Array.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url'))
  return {
    point,
    key: privateKey,
    sign: (message) => ({
      scheme: { kind: 'ecdsa', hash: 'sha256' },
      signature: new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })),
    }),
  }
}

/** An opened secret in hex, or the refusal. */
export function said(opened: Opened): string {
  if (opened.kind === 'refused') return `${opened.rule} ${opened.response}`
  using secret = opened.secret
  return hex(secret.bytes)
}
