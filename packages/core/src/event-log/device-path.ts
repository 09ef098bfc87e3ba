/**
 * The text of an EFI_DEVICE_PATH_PROTOCOL.
 *
 * Source: UEFI 2.10 §10.3 (nodes) and §10.6.1.6 (text). Nodes without a text of their own here are written as `Path(type,subtype,hex)`.
 */

import { hex, TruncatedError } from '../bytes/index.ts'
import { GUID_BYTES, guidText } from './guid.ts'
import { fromUtf16, LittleEndianReader } from './little-endian.ts'

export const DEVICE_PATH_NODES_MAX = 64
const HEADER_BYTES = 4
const END = 0x7f
const END_ENTIRE = 0xff
/** PNP0A03, a PCI root bridge, as a compressed EISA identifier. */
const EISA_PCI_ROOT = 0x0a0341d0

/** Undefined for what is no device path, or one of more than {@link DEVICE_PATH_NODES_MAX} nodes. */
export function devicePathText(bytes: Uint8Array): string | undefined {
  const reader = new LittleEndianReader(bytes)
  const nodes: string[] = []
  try {
    for (let count = 0; count < DEVICE_PATH_NODES_MAX; count++) {
      const [type, subtype, lengthBytes] = [reader.u8(), reader.u8(), reader.u16()]
      if (lengthBytes < HEADER_BYTES) return undefined
      const body = reader.raw(lengthBytes - HEADER_BYTES)
      if (type === END && subtype === END_ENTIRE) return reader.remainingBytes === 0 ? nodes.join('/') : undefined
      nodes.push(nodeText((type << 8) | subtype, body) ?? `Path(${type},${subtype},${hex(body)})`)
    }
  } catch (error) {
    if (!(error instanceof TruncatedError)) throw error
  }
  return undefined
}

function nodeText(kind: number, body: Uint8Array): string | undefined {
  const reader = new LittleEndianReader(body)
  const shown = NODES[kind]?.(reader)
  // A node with bytes that its text would not show is shown in hex.
  return reader.remainingBytes === 0 ? shown : undefined
}

const x = (value: number | bigint): string => `0x${value.toString(16).toUpperCase()}`

const NODES: Readonly<Record<number, (reader: LittleEndianReader) => string | undefined>> = {
  0x0101: (node) => {
    const [fn, device] = [node.u8(), node.u8()]
    return `Pci(${x(device)},${x(fn)})`
  },
  0x0201: (node) => {
    const [hid, uid] = [node.u32(), node.u32()]
    return hid === EISA_PCI_ROOT ? `PciRoot(${x(uid)})` : `Acpi(${x(hid)},${x(uid)})`
  },
  0x0302: (node) => `Scsi(${x(node.u16())},${x(node.u16())})`,
  0x0305: (node) => `USB(${x(node.u8())},${x(node.u8())})`,
  0x0312: (node) => `Sata(${x(node.u16())},${x(node.u16())},${x(node.u16())})`,
  0x0317: (node) => {
    const namespace = node.u32()
    return `NVMe(${x(namespace)},${hex(node.raw(8).slice().reverse()).replace(/(..)(?=.)/g, '$1-')})`
  },
  0x0401: hardDrive,
  0x0404: (node) => {
    const text = fromUtf16(node.raw(node.remainingBytes))
    return text?.endsWith('\0') === true && text.indexOf('\0') === text.length - 1 ? text.slice(0, -1) : undefined
  },
  0x0406: (node) => `FvFile(${guidText(node.raw(GUID_BYTES))})`,
  0x0407: (node) => `Fv(${guidText(node.raw(GUID_BYTES))})`,
  0x0408: (node) => {
    node.raw(4)
    return `Offset(${x(node.u64())},${x(node.u64())})`
  },
}

const MBR = 1
const GPT = 2

function hardDrive(node: LittleEndianReader): string | undefined {
  const [partition, start, size] = [node.u32(), node.u64(), node.u64()]
  const signature = node.raw(16)
  const [, signatureType] = [node.u8(), node.u8()]
  const range = `${x(start)},${x(size)}`
  if (signatureType === GPT) return `HD(${partition},GPT,${guidText(signature)},${range})`
  return signatureType === MBR ? `HD(${partition},MBR,0x${hex(signature.slice(0, 4).reverse())},${range})` : undefined
}
