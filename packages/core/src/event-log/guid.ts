/** EFI_GUID, UEFI 2.10 appendix A: the first three fields are little-endian. */

import { concat, fromHex, hex } from '../bytes/index.ts'

export const GUID_BYTES = 16

export function guidText(bytes: Uint8Array): string {
  const part = (start: number, end: number): string => hex(bytes.slice(start, end))
  const turned = (start: number, end: number): string => hex(bytes.slice(start, end).reverse())
  return [turned(0, 4), turned(4, 6), turned(6, 8), part(8, 10), part(10, 16)].join('-')
}

export function guidBytes(text: string): Uint8Array {
  return concat(...text.split('-').map((part, i) => (i < 3 ? fromHex(part).reverse() : fromHex(part))))
}

export const GUID = {
  GLOBAL_VARIABLE: '8be4df61-93ca-11d2-aa0d-00e098032b8c',
  IMAGE_SECURITY_DATABASE: 'd719b2cb-3d3a-4596-a3bc-dad00e67656f',
  SHIM_LOCK: '605dab50-e046-4300-abb6-3dd810dd8b23',
} as const
