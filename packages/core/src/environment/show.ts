/** What the logs of a host show, as JSON for showing. Nothing is decided by it. */
import type { BootFacts } from '../event-log/facts.ts'
import type { RegisterState } from '../event-log/compare.ts'
import type { HostState, ImaState } from './assess.ts'
import type { OwnLogBegin, OwnMeasurement } from './own-log.ts'

type Silent = { readonly kind: 'absent' | 'unreadable'; readonly why: string }

/** The files of an engine are many, and its digest is over them. */
type ShownMeasurement =
  | Exclude<OwnMeasurement, { readonly kind: 'engine' }>
  | Omit<OwnMeasurement & { readonly kind: 'engine' }, 'files'>

export interface ShownHost {
  readonly boot:
    | Silent
    | {
        readonly kind: 'read'
        readonly registers: readonly { readonly pcr: number; readonly state: RegisterState }[]
        readonly facts: BootFacts
      }
  readonly ima: ImaState
  /** Self-asserted: the host's own word. `replays` says whether the quoted register holds it. */
  readonly own:
    | Silent
    | {
        readonly kind: 'read'
        readonly replays: boolean
        /** `unknown`: something was extended before the log began. */
        readonly from: 'start' | 'unknown' | null
        readonly why: string | null
        readonly begin: OwnLogBegin
        /** The last of each kind, files of engines left out. */
        readonly measurements: readonly ShownMeasurement[]
      }
}

export function showHost({ boot, own }: HostState, ima: ImaState): ShownHost {
  return {
    boot:
      boot.kind === 'read'
        ? {
            kind: 'read',
            registers: boot.comparison.registers.map(({ pcr, state }) => ({ pcr, state })),
            facts: boot.facts,
          }
        : boot,
    ima,
    own:
      own.kind === 'differs' || own.kind === 'replays'
        ? {
            kind: 'read',
            replays: own.kind === 'replays',
            from: own.kind === 'replays' ? own.from : null,
            why: own.kind === 'differs' ? own.why : null,
            begin: own.log.begin,
            measurements: own.log.measurements
              .filter(({ kind }, i, all) => i === all.findLastIndex((each) => each.kind === kind))
              .map(withoutFiles),
          }
        : own,
  }
}

function withoutFiles(measurement: OwnMeasurement): ShownMeasurement {
  if (measurement.kind !== 'engine') return measurement
  const { files: _files, ...rest } = measurement
  return rest
}
