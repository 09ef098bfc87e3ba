/** `reprise show RUN`: what this host knows of a run, whether it left a record or not. */
import { computationId, hex, type Attempt } from '@reprise/core'
import { alarmText, nodeCrypto, showRun, type ShownRun } from '@reprise/runner'
import { EXIT_YES } from '../exit.ts'
import { count, paint, safe } from '../print/format.ts'

export async function showRunOfHost(home: string, id: string, json: boolean): Promise<number> {
  const shown = await showRun(home, id)
  if (json) process.stdout.write(`${JSON.stringify(answer(shown))}\n`)
  else print(shown)
  return EXIT_YES
}

function answer({ run, isGoingOn, tornBytes, alarms }: ShownRun): object {
  return {
    schema: 'reprise/show-run-result/v1',
    run: run.run,
    computation: hex(computationId(run.computation, nodeCrypto.sha256)),
    state: stateOf(run, isGoingOn),
    checkpoints: run.checkpointCount,
    signedCheckpoints: run.signedSeq + 1,
    attestations: run.attestationCount,
    snapshots: run.snapshots.filter(({ seq }) => seq <= run.signedSeq).length,
    attempts: run.attempts,
    outcome: run.outcome,
    tornBytes,
    alarms: alarms.map(({ folder, report, isDiscarded }) => ({ folder, discarded: isDiscarded, ...report })),
  }
}

function stateOf({ ended, alarm }: ShownRun['run'], isGoingOn: boolean): string {
  if (isGoingOn) return 'going-on'
  return alarm === null ? (ended ?? 'cut-off') : 'alarmed'
}

function print({ run, isGoingOn, alarms }: ShownRun): void {
  const { stdout } = process
  const line = (text: string): void => void stdout.write(`${text}\n`)
  const id = run.run.slice(0, 8)
  const state = stateOf(run, isGoingOn)
  line(`${paint(state === 'alarmed' ? 'red' : 'bold', state, stdout)}   run ${run.run}`)
  line(
    `  ${count(run.checkpointCount, 'checkpoint')}, the first ${run.signedSeq + 1} of them signed, ${count(run.snapshots.length, 'snapshot')}`,
  )
  for (const attempt of run.attempts) line(`  attempt ${attempt.attempt}: ${hostLine(attempt)}`)
  for (const { folder, report, isDiscarded } of alarms) {
    line(`  ${paint('red', isDiscarded ? 'alarm, discarded' : 'alarm', stdout)}: ${safe(alarmText(report))}`)
    if (report.signedBy !== null) line(`    signed by attempt ${report.signedBy.attempt}: ${hostLine(report.signedBy)}`)
    line(`    now: ${hostLine(report.measuredBy)}`)
    line(`    both states, as far as they could be had: ${safe(folder)}`)
  }
  if (state === 'going-on') return
  if (state === 'finished') line(`  its record: reprise export ${id} --format record`)
  else line(`  next: reprise resume ${id}${state === 'alarmed' ? ' --discard-alarm' : ''}`)
}

function hostLine({ environment: e, host }: Attempt): string {
  return safe(
    `host ${host}, ${e.cpu}, ${e.platform} ${e.kernel} ${e.architecture}, Node ${e.node}, V8 ${e.v8}, Reprise ${e.reprise}`,
  )
}
