import { describe, expect, test } from 'vitest'
import { RunnerError } from '@reprise/runner'
import { describeFailure } from './failure.ts'
import { isShortage } from './shortage.ts'

const system = (code: string, syscall = ''): Error => Object.assign(new Error(code), { code, syscall })

/** What V8 itself says when there is not as much. */
function tooMuch(): unknown {
  try {
    return new ArrayBuffer(2 ** 52)
  } catch (error) {
    return error
  }
}

describe('a shortage', () => {
  test.each([
    ['of memory for a process', system('ENOMEM', 'spawn')],
    ['of processes', system('EAGAIN', 'spawn flock')],
    ['of memory for a thread', system('ERR_WORKER_INIT_FAILED')],
    ['of memory in a thread', system('ERR_WORKER_OUT_OF_MEMORY')],
    ['of memory for an array', tooMuch()],
    ['of memory for a guest', new RangeError('WebAssembly.Memory(): could not allocate memory')],
    ['behind an error of ours', new RunnerError('WRITE', { message: 'x', cause: system('ENOMEM') })],
  ])('%s is one, and is told as one', (_what, error) => {
    expect(isShortage(error)).toBe(true)
    expect(describeFailure(error, 'run')).toMatchObject({ code: 'MEMORY', exitCode: 125 })
    expect(describeFailure(error, 'verify')).toMatchObject({ code: 'MEMORY', exitCode: 3 })
  })

  test.each([
    ['a device that is busy', system('EAGAIN', 'read')],
    ['a full disk', system('ENOSPC', 'write')],
    ['a recursion without end', new RangeError('Maximum call stack size exceeded')],
    ['an error of ours that says so', new RunnerError('ENGINE_FAILED', { message: 'out of memory' })],
    ['what is no error', 'ENOMEM'],
  ])('%s is none', (_what, error) => {
    expect(isShortage(error)).toBe(false)
    expect(describeFailure(error, 'run').code).not.toBe('MEMORY')
  })
})
