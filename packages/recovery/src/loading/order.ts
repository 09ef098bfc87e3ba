/** In which order services come up and go down. Rules: spec/loading.md §3. */

import type { ServiceStatus } from '../channel/messages.ts'
import { findCycle } from '../plan/check.ts'
import { RecoveryError } from '../error.ts'
import type { Service } from '../types.ts'

/**
 * The frontier: what everything that is not up waits for at this moment. Services that are not ready while all that they come
 * after is, in the plan's order.
 */
export function frontier(services: readonly Service[], statuses: Iterable<ServiceStatus>): readonly string[] {
  const ready = new Set([...statuses].filter(({ state }) => state === 'ready').map(({ name }) => name))
  return services
    .filter(({ name, after }) => !ready.has(name) && after.every((before) => ready.has(before)))
    .map(({ name }) => name)
}

/** For each service, those that come after it. */
export function dependents(services: readonly Service[]): ReadonlyMap<string, readonly string[]> {
  return new Map(
    services.map(({ name }) => [name, services.filter(({ after }) => after.includes(name)).map(({ name }) => name)]),
  )
}

/** @throws {@link RecoveryError} `SERVICES` when there is no order: a name twice, an unknown one, a circle. A plan that was read has none of these. */
export function checkOrder(services: readonly Service[]): void {
  const names = services.map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  const unknown = services.flatMap(({ after }) => after).find((name) => !names.includes(name))
  const cycle = twice === undefined && unknown === undefined ? findCycle(services) : undefined
  const what =
    twice !== undefined
      ? `there are two services called ${twice}`
      : unknown !== undefined
        ? `a service comes after ${unknown}, which is none`
        : cycle === undefined
          ? undefined
          : `services wait for each other: ${cycle.join(' after ')}`
  if (what === undefined) return
  throw new RecoveryError('SERVICES', { message: `The services have no order: ${what}.`, hint: 'Mend the plan.' })
}
