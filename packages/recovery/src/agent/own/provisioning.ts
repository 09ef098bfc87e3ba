/** Credentials and image keys become this host's, by hand or by a delivery: spec/agent.md §8, §11. */

import { RecoveryError } from '../../error.ts'
import { Secret } from '../../sealing/secret.ts'
import type { Ground } from '../ground.ts'
import { CREDENTIALS_VERSION, type Taken, writeCredentials } from './credentials.ts'
import type { ContentKeys } from './drawing.ts'
import type { Life } from './life.ts'
import type { SplitOptions } from './splitting.ts'

/** Whoever has them wipes them. */
export interface Contents extends Disposable {
  readonly credentials: ReadonlyMap<string, Secret>
  readonly imageKeys: ContentKeys
}

export interface ProvisionOptions {
  /** The delivery that they came with. */
  readonly taken?: Taken
  readonly onMissing?: SplitOptions['onMissing'] | undefined
}

/** @returns The epoch whose generation has them. @throws RecoveryError `BUSY`, `NOT_NOW`. */
export type Provision = (contents: Contents, options?: ProvisionOptions) => Promise<number>

export const CONTENT_KEY_BYTES = 32

export function contentsOf(credentials: ReadonlyMap<string, Secret>, imageKeys: ContentKeys): Contents {
  return {
    ...{ credentials, imageKeys },
    [Symbol.dispose]() {
      for (const secret of credentials.values()) secret[Symbol.dispose]()
      for (const { key } of imageKeys) key[Symbol.dispose]()
    },
  }
}

export function makeProvision(ground: Ground, life: Life): Provision {
  let isBusy = false
  return async (contents, options = {}) => {
    // Two at once would write credentials under a key that the generation of the other does not have.
    if (isBusy)
      throw new RecoveryError('BUSY', {
        message: `${ground.host} is being provisioned already.`,
        hint: 'See how far it is: reprise recovery host',
      })
    isBusy = true
    try {
      return await provision(ground, life, contents, options)
    } finally {
      isBusy = false
    }
  }
}

async function provision(
  { paths, host, random }: Ground,
  life: Life,
  { credentials, imageKeys }: Contents,
  { taken, onMissing }: ProvisionOptions,
): Promise<number> {
  const write = async (key: Secret, isNewKey: boolean): Promise<void> =>
    await writeCredentials({ path: paths.credentials, host, key }, credentials, { isNewKey, random, taken })
  if (life.phase.kind === 'released') {
    await life.addKeys(imageKeys, onMissing)
    if (credentials.size > 0 || taken !== undefined) await life.withKey(CREDENTIALS_VERSION, (key) => write(key, false))
    return life.epoch
  }
  using key = Secret.random(CONTENT_KEY_BYTES)
  await write(key, true)
  return await life.provision([...imageKeys, { version: CREDENTIALS_VERSION, key }], onMissing)
}
