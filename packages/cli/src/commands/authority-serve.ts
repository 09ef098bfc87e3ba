/** `reprise authority serve`: enrols hosts over HTTP. */
import { serveAuthority } from '@reprise/host/authority'
import { fingerprint } from '@reprise/host/enrolment'
import { RunnerError } from '@reprise/runner'
import { once } from 'node:events'
import { type AuthorityOptions, openItsAuthority, readPolicy, say, sayJson } from '../authority-context.ts'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { safe } from '../print/format.ts'

export async function action(options: object): Promise<number> {
  const {
    listen,
    perMinute,
    json = false,
    ...shared
  } = options as AuthorityOptions & {
    readonly listen: string
    readonly perMinute: number
  }
  const { signal } = createContext()
  const authority = await openItsAuthority(shared)
  await authority.unlock()
  await authority.setPolicy(await readPolicy(shared))
  await using server = await serveAuthority(authority, {
    ...parseAddress(listen),
    perMinute,
    burst: Math.max(30, perMinute),
    log: (line) => void process.stderr.write(`${new Date().toISOString()} ${safe(line)}\n`),
  })
  const known = fingerprint(authority.id)
  if (json) sayJson({ schema: 'reprise/authority-serve/v1', url: server.url, authority: known })
  else say(`listening at ${server.url}   ${known}`)
  if (!signal.aborted) await once(signal, 'abort')
  return EXIT_YES
}

function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) }
  throw new RunnerError('USAGE', { message: `--listen ${text} is no address`, hint: 'it looks like 0.0.0.0:8470' })
}
