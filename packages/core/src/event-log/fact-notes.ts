/** Events that look like a fact and are none: forged, misplaced, or of a firmware with its own ways. Format: spec/event-log.md §6.7. */

import type { BankHash, BankName } from './bank.ts'
import { coverageOf } from './coverage.ts'
import { EV } from './event-type.ts'
import { digestOf, type EventLog, type LogEvent } from './log.ts'
import { algOf } from './replay.ts'
import { isSecureBoot } from './secure-boot.ts'
import { decodeVariable } from './uefi.ts'

export type FactNoteCode =
  | 'NOT_EXTENDED' // it stands in an event that extends nothing
  | 'OTHER_PCR' // it stands in a register that is not that of the fact
  | 'AFTER_SEPARATOR' // it comes after the separator, where anybody may have extended it
  | 'NOT_COVERED' // its digest is not of its data

export interface FactNote {
  readonly code: FactNoteCode
  readonly event: number
  readonly what: string
}

export function factNotes(
  log: EventLog,
  { bank, hash }: { readonly bank: BankName; readonly hash: BankHash },
): readonly FactNote[] {
  const notes: FactNote[] = []
  let separated = false
  for (const event of log.events) {
    const alike = likeness(event)
    const digest = digestOf(event, algOf(bank))
    if (alike !== undefined) {
      const covered = digest !== undefined && coverageOf(event, { bank, digest, hash }) !== undefined
      const code = codeOf(event, { pcr: alike.pcr, covered: covered || !alike.text, late: alike.firmware && separated })
      if (code !== undefined) notes.push({ code, event: event.index, what: alike.what })
    }
    if (event.pcr === 7 && event.type === EV.SEPARATOR) separated = true
  }
  return notes
}

interface Likeness {
  readonly what: string
  readonly pcr: number
  /** Something whose digest must be of its data. */
  readonly text: boolean
  /** Something that only firmware measures, and before the separator. */
  readonly firmware: boolean
}

const KERNEL_LABEL = /^(grub_kernel_cmdline |kernel_cmdline: )/

function likeness({ type, data }: LogEvent): Likeness | undefined {
  if (type === EV.EFI_BOOT_SERVICES_APPLICATION)
    return { what: 'an application that was started', pcr: 4, text: false, firmware: false }
  const variable = decodeVariable(data)
  if (variable !== undefined && isSecureBoot(variable))
    return { what: 'the variable SecureBoot', pcr: 7, text: true, firmware: true }
  const head = Array.from(data.subarray(0, 32), (byte) => String.fromCharCode(byte)).join('')
  return KERNEL_LABEL.test(head)
    ? { what: 'a kernel command line of GRUB', pcr: 8, text: true, firmware: false }
    : undefined
}

function codeOf(
  event: LogEvent,
  { pcr, covered, late }: { readonly pcr: number; readonly covered: boolean; readonly late: boolean },
): FactNoteCode | undefined {
  if (event.type === EV.NO_ACTION) return 'NOT_EXTENDED'
  if (event.pcr !== pcr) return 'OTHER_PCR'
  if (!covered) return 'NOT_COVERED'
  return late ? 'AFTER_SEPARATOR' : undefined
}
