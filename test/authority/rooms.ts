/** Authorities in folders that go away, with a clock and dice that a test holds. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Authority, type AuthorityWorld, initAuthority, openAuthority, type Policy } from '@reprise/host/authority'
import type { EnrolDecision } from '@reprise/host/enrolment'
import type { ImitationHost } from './imitation-host.ts'

export class AuthorityRoom implements AsyncDisposable {
  readonly home: string
  nowMs = Date.UTC(2026, 10, 26)
  tier: Awaited<ReturnType<AuthorityWorld['tierOf']>> = { tier: 'software', reason: 'the test says so' }
  #drawn = 0

  private constructor(home: string) {
    this.home = home
  }

  static async create(): Promise<AuthorityRoom> {
    const room = new AuthorityRoom(await mkdtemp(join(tmpdir(), 'reprise-authority-')))
    await initAuthority({ home: room.home, name: 'Test authority', key: 'file', world: room.world })
    return room
  }

  readonly world: AuthorityWorld = {
    now: () => new Date(this.nowMs),
    random: (lengthBytes) => {
      const blocks = Array.from({ length: Math.ceil(lengthBytes / 32) }, () =>
        createHash('sha256')
          .update(`dice ${(this.#drawn += 1)}`)
          .digest(),
      )
      return new Uint8Array(Buffer.concat(blocks).subarray(0, lengthBytes))
    },
    tierOf: async () => this.tier,
  }

  /** @param policy - Set for good, as an operator would. */
  async open(policy: Partial<Policy> = {}): Promise<Authority> {
    const authority = await openAuthority({ home: this.home, world: this.world })
    // It locks the log, with a process of its own.
    if (Object.keys(policy).length > 0) await authority.setPolicy(policy)
    return authority
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.home, { recursive: true, force: true })
  }
}

/** From request to decision, as a host goes. */
export async function enrol(authority: Authority, host: ImitationHost, name = 'alpha'): Promise<EnrolDecision> {
  return await authority.answer(host.answer(await authority.challenge(host.request(name), { origin: 'test' })))
}

/** How it was refused. */
export async function refusalOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => 'not refused',
    (error: { readonly data?: { readonly refusal?: unknown } }) => error.data?.refusal ?? error,
  )
}
