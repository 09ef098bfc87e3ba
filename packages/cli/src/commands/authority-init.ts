/** `reprise authority init`: a key and a root certificate. */
import { initAuthority, type KeyChoice, nodeWorld } from '@reprise/host/authority'
import { authorityHome, type AuthorityOptions, openItsAuthority, readPassphrase } from '../authority-context.ts'
import { EXIT_YES } from '../exit.ts'
import { advise } from '../print/format.ts'
import { printAuthority } from './authority-show.ts'

export async function action(options: object): Promise<number> {
  const { name, key, ...shared } = options as AuthorityOptions & { readonly name: string; readonly key: KeyChoice }
  const passphrase = await readPassphrase(shared)
  const home = authorityHome(shared)
  await initAuthority({ home, name, key, ...(passphrase !== undefined && { passphrase }), world: nodeWorld })
  printAuthority(await openItsAuthority(shared), shared.json === true)
  if (key === 'file' && passphrase === undefined)
    advise(
      'The key lies in its file as it is: whoever reads it is this authority. Encrypt it with --passphrase-file, or use --key tpm.',
    )
  return EXIT_YES
}
