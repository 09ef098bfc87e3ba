/** What `@reprise/wasm` throws: a module it cannot take, or a host that could not carry the guest. */

import { RepriseError } from '@reprise/core'

export type WasmErrorCode =
  | 'NOT_WASM' // no WebAssembly binary at all
  | 'MALFORMED' // a WebAssembly binary with a broken structure
  | 'LIMIT' // larger than a named maximum
  | 'NOT_A_COMMAND' // a component, a reactor or a library: nothing to start
  | 'IMPORT' // an import the machine does not offer
  | 'FEATURE' // an instruction or type outside of semantics wasm/1
  | 'RESERVED_NAME' // an export that begins with `reprise:`
  | 'SNAPSHOT' // a snapshot that is damaged, or of another computation
  | 'COMPILE' // the engine refused the module
  | 'HOST_STACK' // the engine's own stack ran out before the machine's limit
  | 'HOST_MEMORY' // the host had no memory where the machine's limit allowed some
  | 'HOST_TRAP' // the engine reported a trap this version does not know

/** The input is no program for the machine, or the host failed. A trap of the guest is an outcome instead. */
export class WasmError extends RepriseError<WasmErrorCode> {}
