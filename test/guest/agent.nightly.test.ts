/**
 * A host of its own (mode tpm-only) whose power is cut: it comes back by itself, under systemd and out of initial RAM
 * disks of initramfs-tools and of dracut.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bootFile, type Machine, makeDisk, openWorkshop, powerOn, type Workshop } from './machine.ts'

const TIMEOUT_MS = 3_000_000
let workshop: Workshop
let disk: string
let machine: Machine | undefined

/** What operators do, all on the machine itself: its keys are for this test alone. */
const PROVISION = `#!/bin/sh
set -eu
cd /srv
state=/var/lib/reprise/recovery
fail() { echo "failed $1: $(tail -n 3 log | tr '\\n' ' ')" > /dev/ttyS1; exit 1; }
step() { name=$1; shift; "$@" > out 2> log || fail "$name"; }
mkdir -p offers
step offer reprise recovery provision --state $state --fleet lab --host h1 --offer offers/h1.json
step ada reprise recovery keys new ada -o ada.pem; ada=$(cat out)
step signer reprise recovery keys new signer --as image-signer -o signer.pem; signer=$(cat out)
step approver reprise recovery keys new approver --as approver -o approver.pem; approver=$(cat out)
cat > plan.yaml <<END
fleet: lab
version: 1
mode: tpm-only
longestOutage: 8h
$signer
$approver
hosts:
  - { name: h1, address: "127.0.0.1:8471", zone: a, room: a, rack: a, pdu: a }
services:
  - { name: first, ready: { notify: true, within: 10m }, credentials: [key] }
  - { name: second, after: [first] }
breakGlass:
  needed: 1
  keys:
    $ada
END
step sign reprise recovery sign plan.yaml --key ada.pem --offers offers -o plan.json
step image reprise recovery image build tree --services services.json --version 1 --key signer.pem -o image
printf geheim > key
step provision reprise recovery provision --state $state --plan plan.json --image-key 1=image.key --credential key=key
rm -f key image.key *.pem
step stop reprise recovery stop --state $state
sync
systemctl enable --quiet reprise-recovery.service reprise-released.service
systemctl start --no-block reprise-recovery.service
echo provisioned > /dev/ttyS1
`

const SERVICES = {
  schema: 'reprise/services/v1',
  services: [
    {
      name: 'first',
      command: [
        '/bin/busybox',
        'sh',
        '-c',
        'key=$(busybox cat $CREDENTIALS_DIRECTORY/key); systemd-notify --ready; echo "first has $key" > /dev/ttyS1; exec busybox sleep 100000',
      ],
    },
    {
      name: 'second',
      command: ['/bin/busybox', 'sh', '-c', 'echo "second is up" > /dev/ttyS1; exec busybox sleep 100000'],
    },
  ],
}

const UNITS: Readonly<Record<string, string>> = {
  'provision.service': `[Unit]
ConditionPathExists=!/srv/plan.json
[Service]
ExecStart=/srv/provision.sh
[Install]
WantedBy=multi-user.target
`,
  'released.service': `[Unit]
Requires=reprise-released.service
After=reprise-released.service
[Service]
ExecStart=/bin/sh -c 'echo released > /dev/ttyS1'
[Install]
WantedBy=reprise-released.service
`,
}

async function furnish({ tree }: Workshop): Promise<void> {
  const image = join(tree, 'srv/tree')
  for (const folder of ['bin', 'usr', 'etc']) mkdirSync(join(image, folder), { recursive: true })
  copyFileSync('/usr/bin/busybox', join(image, 'bin/busybox'))
  for (const program of ['usr/bin/systemd-notify']) {
    mkdirSync(join(image, 'usr/bin'), { recursive: true })
    copyFileSync(join(tree, program), join(image, program))
    const libraries =
      execFileSync('chroot', [tree, 'ldd', `/${program}`])
        .toString()
        .match(/\/\S+/g) ?? []
    for (const library of libraries) {
      mkdirSync(join(image, library, '..'), { recursive: true })
      copyFileSync(join(tree, library), join(image, library))
    }
  }
  writeFileSync(join(tree, 'srv/services.json'), JSON.stringify(SERVICES))
  writeFileSync(join(tree, 'srv/provision.sh'), PROVISION)
  chmodSync(join(tree, 'srv/provision.sh'), 0o755)
  writeFileSync(join(tree, 'etc/reprise/recovery.conf'), 'REPRISE_RECOVERY_OPTIONS=--image /srv/image\n')
  writeFileSync(join(tree, 'etc/reprise/initramfs'), '')
  for (const [name, text] of Object.entries(UNITS)) writeFileSync(join(tree, 'etc/systemd/system', name), text)
  execFileSync('systemctl', ['--root', tree, 'enable', ...Object.keys(UNITS)], { stdio: 'ignore' })
  // What initial RAM disks look for on the volume with the state.
  symlinkSync('var/lib/reprise/recovery', join(tree, 'recovery'))
  symlinkSync('srv/image', join(tree, 'image'))
  const [kernel] = readdirSync(join(tree, 'lib/modules'))
  const inside = (...args: string[]): Buffer =>
    execFileSync('chroot', [tree, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  inside('mkinitramfs', '-c', 'gzip', '-o', '/boot/initramfs-tools.img', kernel)
  inside(
    'dracut',
    '--no-hostonly',
    '--no-compress',
    '--add',
    'reprise',
    '--kver',
    kernel,
    '--force',
    '/boot/dracut.img',
  )
}

const on = async (initrd: string, commandLine: string): Promise<Machine> => {
  const { path, tree } = workshop
  machine = await powerOn({ folder: path, kernel: bootFile(tree, 'vmlinuz-'), initrd, disk, commandLine })
  return machine
}

beforeAll(async () => {
  workshop = openWorkshop()
  await furnish(workshop)
  disk = makeDisk(workshop)
}, TIMEOUT_MS)
afterAll(async () => {
  await machine?.cutPower()
  workshop?.[Symbol.dispose]()
})

test('dracut makes an initial RAM disk that has all of it', () => {
  const list = execFileSync('chroot', [workshop.tree, 'lsinitrd', '/boot/dracut.img'], {
    maxBuffer: 1 << 26,
  }).toString()
  for (const file of [
    'usr/lib/reprise/bin/node',
    'usr/lib/reprise/initrd.sh',
    'usr/lib/reprise/dist/recovery/holder',
    'usr/bin/flock',
  ])
    expect(list).toContain(file)
})

test('its power is cut, and it comes back by itself', { timeout: TIMEOUT_MS }, async () => {
  const { tree } = workshop
  const initrd = bootFile(tree, 'initrd.img-')
  const system = 'root=/dev/vda rw'
  let host = await on(initrd, system)
  expect(await Promise.race([host.says('provisioned'), host.says('failed ')])).toBe('')
  expect(await host.says('first has ')).toBe('geheim')
  await host.says('second is up')
  await host.cutPower()

  host = await on(initrd, system)
  expect(await host.says('first has ')).toBe('geheim')
  await host.says('second is up')
  await host.says('released')
  await host.cutPower()

  // By initial RAM disks that are all there is: of both makers.
  for (const image of ['boot/initramfs-tools.img', 'boot/dracut.img']) {
    host = await on(join(tree, image), 'reprise.state=/dev/vda')
    expect(await host.says('first has ')).toBe('geheim')
    await host.says('second is up')
    await host.cutPower()
  }
})
