/** Who cannot be provisioned hears of it before operators do. */

import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TPM_CC, TPM_HT } from '@reprise/core'
import { connect, hasCommand, readHandles, swtpm } from '@reprise/tpm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withoutCommand } from '../../sealing/testing.ts'
import { statePaths } from '../state/folder.ts'
import { makeIdentity } from './identity.ts'
import type { OwnTpm } from './open-tpm.ts'

let scratch: string
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'reprise-identity-'))
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

test('a TPM without PolicyAuthorizeNV is refused by the name of the command, before it has keys of ours', async () => {
  const folder = join(scratch, 'tpm')
  const state = join(scratch, 'state')
  mkdirSync(state, { mode: 0o700 })
  const code = TPM_CC.PolicyAuthorizeNV
  let handles: readonly number[] = []
  const opening = async (): Promise<OwnTpm> => {
    const running = await swtpm.start(folder)
    const tpm = connect(withoutCommand(await running.open(), code))
    expect(await hasCommand(tpm, 'PolicyAuthorizeNV')).toBe(false)
    expect(await hasCommand(tpm, 'PolicyAuthorize')).toBe(true)
    const release = async (): Promise<void> => {
      handles = await readHandles(tpm, TPM_HT.PERSISTENT)
      await swtpm.stop(running, { tpm })
    }
    return { tpm, persist: async () => undefined, release, shutDown: release }
  }
  await expect(
    makeIdentity(statePaths(state), { host: 'old', tpm: { kind: 'software', folder } }, opening),
  ).rejects.toMatchObject({ code: 'TPM', message: expect.stringContaining('0x00000192') as string })
  expect(handles.filter((handle) => handle >= 0x81008001 && handle <= 0x8100ffff)).toEqual([])
  expect(existsSync(statePaths(state).host)).toBe(false)
})
