/** The model of packages/recovery/model, gone through by spin: every schedule of it, and that mistakes on purpose are found. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'

const run = promisify(execFile)
const model = resolve(import.meta.dirname, '../../model/recovery.pml')
const MEMORY_MB = 1500
const DEPTH_MAX = 100_000

/** @returns What spin's verifier says at its end. */
async function verify(defines: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'reprise-model-'))
  try {
    await run('spin', [...defines.map((name) => `-D${name}`), '-a', model], { cwd: folder })
    // A mistake is found sooner than the verifier would be optimised.
    const optimised = defines.length === 0 ? '-O2' : '-O0'
    await run('cc', [optimised, '-w', '-DSAFETY', '-DCOLLAPSE', `-DMEMLIM=${MEMORY_MB}`, '-o', 'pan', 'pan.c'], {
      cwd: folder,
    })
    const { stdout } = await run(join(folder, 'pan'), [`-m${DEPTH_MAX}`], { cwd: folder })
    if (stdout.includes('errors: 0')) return stdout
    // The way to it, step by step.
    const trail = await run('spin', ['-t', '-p', ...defines.map((name) => `-D${name}`), model], {
      cwd: folder,
      maxBuffer: 1 << 26,
    }).catch((error: unknown) => ({ stdout: String(error) }))
    return `${stdout}\n${trail.stdout}`
  } finally {
    await rm(folder, { recursive: true })
  }
}

describe('the model of release and change of epochs', () => {
  test('no schedule releases without K shares of one epoch and attempt, or leaves a secret without its shares', async () => {
    const said = await verify([])
    expect(said).toContain('errors: 0')
    // Gone through to its end: neither depth nor memory was the reason to stop.
    expect(said).not.toContain('Search not completed')
    expect(said).not.toContain('max search depth too small')
  })

  test.each(['FEW_ACKNOWLEDGEMENTS', 'MIXED_EPOCHS', 'OLD_ATTEMPTS', 'NO_SECOND_LOOK'])(
    'finds the mistake %s',
    async (mistake) => {
      expect(await verify([mistake])).toContain('assertion violated')
    },
  )
})
