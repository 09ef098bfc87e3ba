import { ByteWriter } from '@reprise/core'
import { type Command, command, nothing } from '../command.ts'

/** TPM2_FlushContext, Part 3 §28.4: frees a transient object or a session. */
export function FlushContext(request: { readonly flushHandle: number }): Command<void> {
  // The handle stands in the parameter area: the TPM need not know it in order to flush it.
  return command('FlushContext', { parameters: new ByteWriter().u32(request.flushHandle).done(), decode: nothing })
}
