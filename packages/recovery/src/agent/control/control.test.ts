/** The socket of an agent: who may ask, and what becomes of nonsense. */

import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RecoveryError } from '../../error.ts'
import { statePaths } from '../state/folder.ts'
import { askAgent, connectAgent } from './client.ts'
import { type ControlServer, serveControl } from './server.ts'

let folder: string
let server: ControlServer
let left: PromiseWithResolvers<void>
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reprise-control-'))
  left = Promise.withResolvers()
  server = await serveControl(statePaths(folder).socket, async (request, { say, gone }) => {
    switch (request.ask) {
      case 'status':
        return { report: 1 }
      case 'rotate':
        say({ kind: 'progress', text: 'half' })
        return { epoch: 3 }
      case 'watch':
        say({ kind: 'report' })
        await new Promise((resolve) => gone.addEventListener('abort', resolve))
        left.resolve()
        return {}
      default:
        throw new RecoveryError('NOT_NOW', { message: 'not released', hint: 'wait' })
    }
  })
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

async function said(bytes: string): Promise<unknown> {
  const socket = connect(statePaths(folder).socket)
  socket.write(bytes)
  return JSON.parse(await text(socket))
}

describe('the socket', () => {
  test('is for its owner alone', () => {
    expect(statSync(statePaths(folder).socket).mode & 0o777).toBe(0o600)
  })

  test('answers with lines, the last of which is done or failed', async () => {
    const lines: unknown[] = []
    expect(await askAgent(folder, { ask: 'status' })).toEqual({ kind: 'done', report: 1 })
    const done = await askAgent(folder, { ask: 'rotate' }, { onLine: (line) => void lines.push(line) })
    expect([lines, done]).toEqual([[{ kind: 'progress', text: 'half' }], { kind: 'done', epoch: 3 }])
    await expect(askAgent(folder, { ask: 'boot' })).rejects.toMatchObject({ code: 'NOT_NOW', hint: 'wait' })
  })

  test.each([
    ['no JSON', '{'],
    ['no question', '{}'],
    ['another question', '{"ask":"root"}'],
    ['a member too many', '{"ask":"status","and":1}'],
    ['a register that is none', '{"ask":"offer","fleet":"f","registers":[24]}'],
    ['a name with a path in it', '{"ask":"provision","credentials":[{"name":"../x","path":"/x"}],"imageKeys":[]}'],
    ['a list', '[]'],
    ['null', 'null'],
  ])('refuses %s', async (_what, line) => {
    expect(await said(`${line}\n`)).toMatchObject({ kind: 'failed', code: 'USAGE' })
  })

  test('ends who says a line that is too long, and goes on', async () => {
    expect(await said(`{"ask":"${'x'.repeat(70_000)}"}\n`)).toMatchObject({ kind: 'failed' })
    expect(await askAgent(folder, { ask: 'status' })).toMatchObject({ report: 1 })
  })

  test('is waited at until the asker gives up', async () => {
    const why = new Error('enough')
    await expect(askAgent(folder, { ask: 'watch' }, { signal: AbortSignal.abort(why) })).rejects.toThrow(why)
    const controller = new AbortController()
    const onLine = (): void => controller.abort(why)
    await expect(askAgent(folder, { ask: 'watch' }, { signal: controller.signal, onLine })).rejects.toThrow(why)
    await left.promise
  })

  test('is nobody’s when no agent runs', async () => {
    await server[Symbol.asyncDispose]()
    expect(await connectAgent(folder)).toBeUndefined()
    await expect(askAgent(folder, { ask: 'status' })).rejects.toMatchObject({ code: 'AGENT' })
    server = await serveControl(statePaths(folder).socket, async () => ({}))
  })
})
