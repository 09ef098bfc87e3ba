/** Loaders in a machine of its own: namespaces under a Debian kernel, and another kernel by kexec. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodePrograms, type Program } from '../../packages/recovery/src/loading/programs.ts'
import { writeBootPayload } from '../../packages/recovery/src/loading/build/boot-payload.ts'
import { makeFileSystem } from '../../packages/recovery/src/sealing/image/build.ts'
import { bootFile, installProgram, type Machine, makeDisk, openWorkshop, powerOn, type Workshop } from './machine.ts'

const TIMEOUT_MS = 1_500_000
let workshop: Workshop
let machine: Machine

const shell = (name: string, script: string): Program => ({
  name,
  command: ['/bin/busybox', 'sh', '-c', script],
  environment: {},
  directory: '/',
  uid: 0,
  gid: 0,
  once: false,
  stopWithinMs: 10_000,
})

async function makePayloads({ path, tree }: Workshop): Promise<void> {
  const image = join(path, 'image')
  for (const folder of ['bin', 'etc/reprise', 'usr']) mkdirSync(join(image, folder), { recursive: true })
  copyFileSync('/usr/bin/busybox', join(image, 'bin/busybox'))
  for (const name of ['lib', 'lib64']) symlinkSync(`usr/${name}`, join(image, name))
  const first =
    'busybox cat $CREDENTIALS_DIRECTORY/key; busybox stat -f -c " %T" $CREDENTIALS_DIRECTORY; busybox grep -o "^/dev/loop[^ ]* [^ ]* [a-z]*" /proc/mounts; systemd-notify --ready; exec busybox sleep 1000'
  const programs = [shell('first', first), shell('second', 'busybox touch /run/second; exec busybox sleep 1000')]
  const volumes = [{ host: '/usr', at: '/usr' }]
  writeFileSync(join(image, 'etc/reprise/services.json'), encodePrograms({ programs, volumes }))
  mkdirSync(join(tree, 'srv'), { recursive: true })
  await makeFileSystem({ folder: image, target: join(tree, 'srv/payload') })

  const next = join(path, 'next')
  for (const folder of ['bin', 'dev', 'proc', 'sys']) mkdirSync(join(next, folder), { recursive: true })
  copyFileSync('/usr/bin/busybox', join(next, 'bin/busybox'))
  const init = `#!/bin/busybox sh
busybox mount -t devtmpfs dev /dev; busybox mount -t sysfs sys /sys
{ echo "kernel $(busybox stat -c '%a' /reprise/credentials/first/key) $(busybox cat /reprise/credentials/first/key)"
echo "register $(busybox cat /sys/class/tpm/tpm0/pcr-sha256/15)"; } > /dev/ttyS1
busybox poweroff -f
`
  writeFileSync(join(next, 'init'), init)
  chmodSync(join(next, 'init'), 0o755)
  const initrd = join(path, 'next.cpio')
  execFileSync('sh', ['-c', `cd ${next} && find . | busybox cpio -o -H newc > ${initrd}`], { stdio: 'ignore' })
  const parts = { kernel: bootFile(tree, 'vmlinuz-'), initrd, commandLine: 'console=ttyS0 quiet panic=-1' }
  await writeBootPayload(parts, join(tree, 'srv/kernel'))
}

const UNIT = (program: string): string => `[Unit]
After=local-fs.target
[Service]
ExecStartPre=/bin/cp /srv/payload /srv/kernel /dev/shm/
ExecStart=/usr/lib/reprise/bin/node ${program} /dev/shm/payload /dev/shm/kernel
[Install]
WantedBy=multi-user.target
`

beforeAll(async () => {
  workshop = openWorkshop()
  const { path, tree } = workshop
  await makePayloads(workshop)
  const program = await installProgram(tree, 'driver')
  writeFileSync(join(tree, 'etc/systemd/system/driver.service'), UNIT(program))
  execFileSync('systemctl', ['--root', tree, 'enable', 'driver.service'], { stdio: 'ignore' })
  machine = await powerOn({
    folder: path,
    kernel: bootFile(tree, 'vmlinuz-'),
    initrd: bootFile(tree, 'initrd.img-'),
    disk: makeDisk(workshop),
    commandLine: 'root=/dev/vda rw',
  })
}, TIMEOUT_MS)
afterAll(async () => {
  await machine?.cutPower()
  workshop?.[Symbol.dispose]()
})

describe('in a machine of its own', () => {
  test('services of an image come up in order and are gone afterwards', { timeout: TIMEOUT_MS }, async () => {
    expect(await machine.says('loaded ')).toBe('ready')
    expect(await machine.says('output first geheim')).toBe('ramfs')
    expect(await machine.says('output first /dev/loop')).toMatch(/ erofs$/)
    expect(await machine.says('mounts ')).toBe('gone')
  })

  test('another kernel takes over, with the credentials and the registers', { timeout: TIMEOUT_MS }, async () => {
    expect(await machine.says('next ')).toBe('leaving')
    expect(await machine.says('kernel ')).toBe('400 geheim')
    // What the driver measured before it left.
    const register = createHash('sha256').update(new Uint8Array(32)).update(new Uint8Array(32).fill(7)).digest('hex')
    expect(await machine.says('register ')).toBe(register.toUpperCase())
    await machine.off
  })
})
