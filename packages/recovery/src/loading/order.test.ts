import { expect, test } from 'vitest'
import { dependents, checkOrder, frontier } from './order.ts'
import { service } from './testing.ts'

const services = [
  service('network'),
  service('database', { after: ['network'] }),
  service('cache', { after: ['network'] }),
  service('site', { after: ['database', 'cache'] }),
]
const at = (states: Readonly<Record<string, 'ready' | 'starting' | 'failed'>>) =>
  Object.entries(states).map(([name, state]) => ({ name, state, sinceWallMs: 0 }))

test('the frontier is what everything waits for', () => {
  expect(frontier(services, [])).toEqual(['network'])
  expect(frontier(services, at({ network: 'ready', cache: 'ready', database: 'starting' }))).toEqual(['database'])
  expect(frontier(services, at({ network: 'ready', cache: 'failed' }))).toEqual(['database', 'cache'])
  expect(frontier(services, at({ network: 'ready', cache: 'ready', database: 'ready', site: 'ready' }))).toEqual([])
})

test('what comes after what', () => {
  expect(dependents(services).get('network')).toEqual(['database', 'cache'])
  expect(dependents(services).get('site')).toEqual([])
})

test('services without an order are refused', () => {
  expect(() => checkOrder(services)).not.toThrow()
  expect(() => checkOrder([...services, service('site')])).toThrow('two services called site')
  expect(() => checkOrder([service('site', { after: ['network'] })])).toThrow('comes after network')
  const circle = [service('a', { after: ['b'] }), service('b', { after: ['a'] })]
  expect(() => checkOrder(circle)).toThrow(/a after b after a|b after a after b/)
})
