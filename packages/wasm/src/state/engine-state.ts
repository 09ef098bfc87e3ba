/** Everything of a wasm machine besides its memory that decides the rest of the run. Format: spec/wasm-machine.md, "Engine state". */
import { ByteWriter } from '@reprise/core'

export type GlobalType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128'

const GLOBAL_KINDS: Readonly<Record<GlobalType, number>> = { i32: 1, i64: 2, f32: 3, f64: 4, v128: 5 }

/**
 * @param globals - The mutable globals in order of their index; bits are unsigned, NaNs exact.
 * @param hostState - As the WASI host encodes itself.
 */
export function encodeEngineState(
  globals: readonly { readonly type: GlobalType; readonly bits: bigint }[],
  hostState: Uint8Array,
): Uint8Array {
  const writer = new ByteWriter().u64(BigInt(globals.length))
  for (const { type, bits } of globals) {
    writer
      .u8(GLOBAL_KINDS[type])
      .u64(bits >> 64n)
      .u64(bits & 0xffff_ffff_ffff_ffffn)
  }
  return writer.sized(hostState).done()
}
