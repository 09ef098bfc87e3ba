/** `reprise recovery image`: commands and their options. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { acting } from './acting.ts'
import { passphrase } from './program-operators.ts'

function counting(text: string): number {
  const value = Number(text)
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError('a whole number from 0 on is wanted')
  return value
}

export function addRecoveryImage(recovery: Command): void {
  const json = (): Option => new Option('--json', 'answer with one JSON document on stdout')
  const image = recovery.command('image').description('encrypted images that a host opens once it was released')
  image
    .command('build')
    .description('make one of a folder, of an OCI image, or of a kernel with its initrd')
    .argument('<source>', 'a folder, an OCI layout (folder or tar archive), or KERNEL+INITRD')
    .requiredOption('--version <n>', 'counts up: a host takes none below one that worked', counting)
    .requiredOption('--key <file>', "the private key that signs it, PEM; the plan has its point in 'imageSigners'")
    .addOption(passphrase())
    .requiredOption('-o, --output <file>', 'the image')
    .option(
      '--services <file>',
      'how its services are started, JSON (default: /etc/reprise/services.json of the image); of a kernel, whose credentials go along',
    )
    .option('--name <name>', 'what it is called', 'image')
    .option('--roster <n>', 'the roster version that was known when it was made', counting, 0)
    .option('--approvals <n>', 'the number of approvals that was known', counting, 0)
    .option('--content-key <file>', 'where to write the key that opens it, for provisioning (default: OUTPUT.key)')
    .option('--command-line <text>', 'of the kernel')
    .option('--ref <name>', 'which image of an OCI layout')
    .option('--scratch <folder>', 'a folder in memory, where the contents stand in the clear for a while', '/dev/shm')
    .addOption(json())
    .action(acting('recovery image build', () => import('./commands/recovery-image-build.ts')))
  image
    .command('show')
    .description('what an image says of itself, and whether it is whole')
    .argument('<file>', 'the image')
    .option('--signer <file|hex>', 'whether this key signed it: its file, or its point as hex')
    .option('--content-key <file>', 'decrypt it, and check every chunk and the digest of the payload')
    .addOption(json())
    .action(acting('recovery image show', () => import('./commands/recovery-image-show.ts')))
}
