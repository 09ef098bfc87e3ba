/** What verification leaves open, said in every answer. */
import type { MeasurerAnswer } from '../environment/index.ts'
import type { RecordDocument } from '../record/index.ts'
import type { OpenedSnapshots } from './open-snapshots.ts'

export interface NotChecked {
  readonly what: string
  readonly why: string
}

/**
 * @param hasGaps - Between attempts.
 * @param blobs - The only part, with `snapshots`, that tells of the file rather than of the run.
 */
export function notCheckedIn(
  document: RecordDocument,
  {
    hasGaps,
    blobs,
    snapshots,
    measurer,
    isRevocationChecked,
  }: {
    readonly hasGaps: boolean
    readonly blobs: { readonly named: number; readonly attached: number }
    readonly snapshots: OpenedSnapshots
    readonly measurer: MeasurerAnswer
    readonly isRevocationChecked: boolean
  },
): NotChecked[] {
  const list: NotChecked[] = [
    { what: 'repetition', why: 'the states were not computed again; reprise repeat does it' },
    { what: 'the host', why: hostWhy(measurer) },
    {
      what: 'other runs',
      why: 'the host may have run it more than once and shown one; its counter tells how often it began something',
    },
    ...(isRevocationChecked
      ? []
      : [{ what: 'revocation', why: 'no list of revoked keys of the authority was given, or there is none' }]),
    { what: 'time', why: "the times are the host's own; no time stamp shows when the computation was sealed" },
  ]
  if (document.computation.checkpoints.kind === 'grid')
    list.push({
      what: 'upper bounds of positions',
      why: 'they depend on the size of the memory, which only a repetition knows',
    })
  if (document.computation.start !== undefined)
    list.push({
      what: 'the warm start',
      why: 'whether the program comes to this state by itself is only seen by running it there; reprise repeat does it',
    })
  if (hasGaps) list.push({ what: 'between attempts', why: 'how the host went down is not shown' })
  const missing = blobs.named - blobs.attached
  if (missing > 0)
    list.push({ what: 'contents', why: `${missing} of ${blobs.named} files are named by digest and not attached` })
  const named = snapshots.lines.length
  const unattached = named - snapshots.lines.filter(({ manifest }) => snapshots.manifests.has(manifest)).length
  if (named > 0)
    list.push({
      what: 'contents of snapshots',
      why: `whether they give the states is only seen by going on from them; ${unattached} of ${named} are not attached`,
    })
  return list
}

function hostWhy({ measurer, why }: MeasurerAnswer): string {
  if (measurer === 'unmeasured') return `who controls it may have invented the states: ${why}`
  const until = measurer === 'boot' ? 'after it booted' : 'while it ran'
  return `whether what your rules list is honest, and whether somebody took it over ${until}`
}
