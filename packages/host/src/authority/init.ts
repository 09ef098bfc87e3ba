/** Making an authority. */

import { X509Certificate } from 'node:crypto'
import { isHostName } from '@reprise/core/certificates'
import { HostError } from '../error.ts'
import { writeAtomically } from '../files.ts'
import type { AuthorityWorld } from './world.ts'
import { makeRoot } from './certificate.ts'
import { authorityPaths, prepareAuthorityHome, readSettings, writeSettings } from './home.ts'
import { type KeyChoice, makeKey } from './key.ts'
import { AuthorityLog, createLog } from './log.ts'

/**
 * Makes an authority in a folder that has none.
 *
 * @throws {@link HostError} `AUTHORITY_HOME` when there is one, `AUTHORITY_NAME`, `TPM_MISSING`.
 */
export async function initAuthority(options: {
  readonly home: string
  readonly name: string
  readonly key: KeyChoice
  readonly passphrase?: string
  readonly world: Pick<AuthorityWorld, 'now' | 'random'>
}): Promise<void> {
  const { name, world, passphrase } = options
  if (!isHostName(name)) {
    const hint = 'Give 1 to 64 printable characters: --name NAME'
    throw new HostError('AUTHORITY_NAME', { message: `An authority cannot be called ${JSON.stringify(name)}.`, hint })
  }
  const paths = authorityPaths(options.home)
  await prepareAuthorityHome(paths)
  if ((await readSettings(paths)) !== undefined) {
    throw new HostError('AUTHORITY_HOME', {
      message: `There is an authority in ${paths.home} already.`,
      hint: 'See it with: reprise authority show. For another one, give another folder: --home FOLDER',
    })
  }
  const { place, key } = await makeKey(paths, options.key, passphrase)
  const root = await makeRoot(key, name, { now: world.now(), random: world.random })
  await writeAtomically(paths.root, new X509Certificate(root).toString())
  await createLog(paths.log)
  const log = new AuthorityLog({ path: paths.log, apply: () => undefined, now: world.now })
  await log.transact(({ append }) => append({ kind: 'founded', name, root }))
  await writeSettings(paths, { schema: 'reprise/authority-settings/v1', name, key: place, root })
}
