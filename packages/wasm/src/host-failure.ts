/** Failures of the host that the engine reports in its own words. */

import { WasmError } from './error.ts'

/**
 * `resourceLimits.stackSizeMb` of the worker that a guest runs in: the engine's stack must outlast the machine's. A slot took
 * less than 20 bytes where it was measured (vectors as parameters, no optimisation); memory is taken as it is used.
 */
export const WORKER_STACK_MB = 1024

export function translated(error: unknown): unknown {
  if (error instanceof RangeError && error.message.includes('call stack')) {
    return new WasmError('HOST_STACK', {
      message: "The engine's stack ran out before the machine's limit was reached.",
      hint: `Run the guest in a worker with resourceLimits.stackSizeMb of at least ${WORKER_STACK_MB}.`,
      cause: error,
    })
  }
  if (error instanceof RangeError && error.message.includes('memory')) {
    return new WasmError('HOST_MEMORY', {
      message: "The host could not reserve the guest's memory.",
      hint: 'Run it on a host with more free memory.',
      cause: error,
    })
  }
  // A RuntimeError arrives here from instantiation only: a data or element segment that does not fit.
  if (
    [WebAssembly.CompileError, WebAssembly.LinkError, WebAssembly.RuntimeError].some((kind) => error instanceof kind)
  ) {
    return new WasmError('COMPILE', {
      message: `The engine refused the module: ${(error as Error).message}`,
      hint: 'The program is no valid WebAssembly. Try: wasm-tools validate FILE',
      cause: error,
    })
  }
  return error
}

export function unknownTrap(error: WebAssembly.RuntimeError): WasmError {
  return new WasmError('HOST_TRAP', {
    message: `The engine reported a trap that this version does not know: ${error.message}`,
    cause: error,
  })
}
