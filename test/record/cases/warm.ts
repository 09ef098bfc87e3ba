/** Records of computations that begin warm. Nothing in a record shows that a program comes there: these are about what is sealed. */
import { utf8 } from '@reprise/core'
import { blobRef, type Draft, type Signed } from '../sample.ts'
import { refuted, verified, type RecordCase } from './case.ts'

function beginWarm({ computation, contents }: Draft): void {
  const bootstrap = utf8('import posix\n')
  computation.start = {
    kind: 'warm',
    arguments: ['mean.wasm', '--warm'],
    environment: { LANG: 'C.UTF-8' },
    mounts: [{ kind: 'files', files: [{ ...blobRef(bootstrap), path: '.reprise/start', readOnly: true }] }],
    snapshotRoot: '5a'.repeat(32),
  }
  contents.push(bootstrap)
}

function changed(
  name: string,
  why: string,
  codes: Parameters<typeof refuted>[2],
  change: (signed: Signed) => void,
): RecordCase {
  return refuted(name, why, codes, { draft: beginWarm, signed: change })
}

function startOf({ document }: Signed) {
  const { start } = document.computation
  if (start === undefined) throw new Error('the sample begins warm')
  return start
}

export const warmCases: readonly RecordCase[] = [
  verified('warm-start', 'A computation that begins warm, with the file that its warm-up is made from.', {
    draft: beginWarm,
  }),
  changed('warm-start-other-root', 'Another state to begin with than the one that was sealed.', ['BATCH'], (signed) => {
    startOf(signed).snapshotRoot = '6b'.repeat(32)
  }),
  changed('warm-start-left-out', 'A warm start made a cold one.', ['BATCH', 'SCHEMA'], ({ document }) => {
    delete document.computation.start
  }),
  changed('warm-start-other-arguments', 'Another warm-up than the one that was sealed.', ['BATCH'], (signed) => {
    startOf(signed).arguments = ['mean.wasm', '--other']
  }),
  changed('warm-start-without-mount', 'A warm-up with fewer mounts than the computation has.', ['SCHEMA'], (signed) => {
    startOf(signed).mounts = []
  }),
  changed('warm-start-short-root', 'A state that is no digest.', ['SCHEMA'], (signed) => {
    startOf(signed).snapshotRoot = '5a'
  }),
]
