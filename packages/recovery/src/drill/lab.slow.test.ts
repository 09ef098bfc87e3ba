import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, ReadClock, swtpm } from '@reprise/tpm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBootState } from '../sealing/boot-state.ts'
import { Lab, LAB_PCRS } from './lab.ts'

const folder = mkdtempSync(join(tmpdir(), 'rl-'))
let lab: Lab
beforeAll(async () => {
  const shape = { racks: 2, hostsPerRack: 2 }
  // Stands for an agent: what is tried here is power.
  const command = [process.execPath, '-e', 'setInterval(() => {}, 1000)', '--']
  lab = await Lab.create({ folder, command, shape, agentWords: [] })
})
afterAll(async () => {
  await lab[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

async function resets(host: string): Promise<number> {
  await lab.powerTpm(host)
  const running = await swtpm.start(lab.host(host).tpm)
  const tpm = connect(await running.open())
  const { resetCount } = (await tpm.execute(ReadClock())).currentTime.clockInfo
  const state = await readBootState(tpm, [...LAB_PCRS])
  expect(state.every(({ value }) => value.some((byte) => byte !== 0))).toBe(true)
  await tpm.close()
  await lab.powerCut([host])
  return resetCount
}

describe('a laboratory', () => {
  test('has hosts in racks, rooms and zones', () => {
    expect(lab.ids).toEqual(['a1-1', 'a1-2', 'b1-1', 'b1-2'])
    expect(lab.in('zone-b')).toEqual(['b1-1', 'b1-2'])
    expect(lab.in('rack-a1')).toEqual(['a1-1', 'a1-2'])
  })

  test('a power cut counts a reset, and what was kept comes back as it was', async () => {
    await lab.keep('before', ['a1-1'])
    const first = await resets('a1-1')
    expect(await resets('a1-1')).toBe(first + 1)
    await lab.takeBack('before', ['a1-1'])
    expect(await resets('a1-1')).toBe(first)
  })

  test('power goes from an agent and its TPM at once, and stays elsewhere', async () => {
    await lab.powerOn(['a1-1', 'b1-1'])
    await expect(lab.keep('x', ['a1-1'])).rejects.toMatchObject({ code: 'LABORATORY' })
    await lab.powerCut(['a1-1'])
    expect([lab.isOn('a1-1'), lab.isOn('b1-1')]).toEqual([false, true])
    const { pid } = await swtpm.start(lab.host('b1-1').tpm)
    expect(existsSync(`/proc/${pid}`)).toBe(true)
    await lab.powerCut(['b1-1'])
    expect(existsSync(`/proc/${pid}`)).toBe(false)
  })
})
