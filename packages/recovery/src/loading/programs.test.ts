import { expect, test } from 'vitest'
import { utf8 } from '@reprise/core'
import { encodePrograms, parsePrograms, PROGRAMS_BYTES_MAX } from './programs.ts'

const whole = {
  schema: 'reprise/services/v1',
  services: [
    {
      name: 'web',
      command: ['/usr/bin/web', '--port', '80'],
      environment: { MODE: 'site' },
      directory: '/srv',
      user: 33,
      once: true,
      stopWithinMs: 5,
    },
    { name: 'b', command: ['/b'] },
  ],
  volumes: [{ host: '/srv/web', at: '/srv' }],
}
const parsed = (value: unknown) => parsePrograms(utf8(JSON.stringify(value)), 'it')

test('what is left out has its default', () => {
  const { programs, volumes } = parsed(whole)
  expect(programs[0]).toEqual({
    name: 'web',
    command: ['/usr/bin/web', '--port', '80'],
    environment: { MODE: 'site' },
    directory: '/srv',
    uid: 33,
    gid: 33,
    once: true,
    stopWithinMs: 5,
  })
  expect(programs[1]).toEqual({
    name: 'b',
    command: ['/b'],
    environment: {},
    directory: '/',
    uid: 0,
    gid: 0,
    once: false,
    stopWithinMs: 10_000,
  })
  expect(volumes).toEqual([{ host: '/srv/web', at: '/srv' }])
  expect(parsePrograms(encodePrograms({ programs, volumes }), 'it')).toEqual({ programs, volumes })
})

const [web] = whole.services
test.each([
  ['another schema', { ...whole, schema: 'reprise/services/v2' }, 'schema'],
  ['an unknown member', { ...whole, service: [] }, 'services.json.service'],
  ['an unknown member of a service', { ...whole, services: [{ ...web, restart: 'always' }] }, 'restart'],
  ['a name twice', { ...whole, services: [web, web] }, 'two services called web'],
  ['a name with a slash', { ...whole, services: [{ ...web, name: '../web' }] }, 'name'],
  ['no command', { ...whole, services: [{ name: 'web' }] }, 'command'],
  ['an empty command', { ...whole, services: [{ name: 'web', command: [] }] }, 'command[0]'],
  ['a relative program', { ...whole, services: [{ name: 'web', command: ['web'] }] }, 'command[0]'],
  ['a zero byte', { ...whole, services: [{ name: 'web', command: ['/web', '\0'] }] }, 'zero byte'],
  ['a name of the environment', { ...whole, services: [{ ...web, environment: { 'A=B': '' } }] }, 'environment'],
  ['a user by name', { ...whole, services: [{ ...web, user: 'www-data' }] }, 'user'],
  ['a way up', { ...whole, volumes: [{ host: '/srv/../etc', at: '/srv' }] }, 'host'],
])('refuses %s', (_what, value, says) => {
  expect(() => parsed(value)).toThrow(says)
})

test('refuses what is no JSON, no UTF-8, or too long', () => {
  expect(() => parsePrograms(utf8('{'), 'it')).toThrow('it does not say how services are started')
  expect(() => parsePrograms(new Uint8Array([0x22, 0xff, 0x22]), 'it')).toThrow('it does not say')
  expect(() => parsePrograms(new Uint8Array(PROGRAMS_BYTES_MAX + 1).fill(0x20), 'it')).toThrow('longer than')
})
