/** Departures of a log from its specification that are read all the same, each reported. Format: spec/event-log.md §2.4. */

export type LogNoteCode =
  | 'HEADER_DIGEST' // the digest of the Spec ID event is not zero
  | 'TAIL_FF' // bytes of 0xff after the last event: an area of the firmware that was not filled
  | 'TAIL_ZERO' // the same with zeros
  | 'PCR_NONE' // an informative event without a register (0xffffffff)
  | 'TYPE_UNKNOWN' // an event type that the specification does not have; extended as any other
  | 'NO_ACTION_DIGEST' // EV_NO_ACTION with a digest; not extended all the same
  | 'DIGEST_MISSING' // an event without a digest for a bank of the log; nothing is extended there
  | 'DIGEST_ZERO' // an extended event whose digest is zero in one bank and not in another, as of a bank that was capped
  | 'LOCALITY' // a StartupLocality event that gives PCR 0 another start than 0
  | 'LOCALITY_IGNORED' // one that cannot count: malformed, in another register, too late or a second one
  | 'HCRTM' // an H-CRTM event that gives PCR 0 the start 4
  | 'HCRTM_IGNORED' // one that cannot: something was extended before it
  | 'SPEC_ID_AGAIN' // a Spec ID event that is not the first event; without effect
  | 'DYNAMIC_PCR' // an event in PCR 17 to 22, which a dynamic launch resets
  | 'BANK_UNKNOWN' // a bank whose algorithm is not known here; its digests are kept and not replayed
  | 'BANK_NO_HASH' // a bank whose hash the caller does not have

export interface LogNote {
  readonly code: LogNoteCode
  /** Of the event, or of the bytes at fault; from the start of the log. */
  readonly offsetBytes: number
  /** Undefined where it concerns no single event. */
  readonly event: number | undefined
  readonly what: string
}
