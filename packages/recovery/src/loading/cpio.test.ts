import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { cpioArchive } from './cpio.ts'

test('another implementation lists what was put in', () => {
  const archive = cpioArchive([
    { path: 'reprise', mode: 0o700 },
    { path: 'reprise/key', mode: 0o400, content: Buffer.from('geheim') },
    { path: 'reprise/empty', mode: 0o444, content: new Uint8Array() },
  ])
  expect(archive.length % 4).toBe(0)
  const list = execFileSync('busybox', ['cpio', '-tv'], { input: archive, stdio: ['pipe', 'pipe', 'ignore'] })
    .toString()
    .trim()
    .split('\n')
  expect(list).toEqual([
    expect.stringMatching(/^drwx------ .*reprise$/),
    expect.stringMatching(/^-r-------- .*reprise\/key$/),
    expect.stringMatching(/^-r--r--r-- .*reprise\/empty$/),
  ])
  expect(
    execFileSync('busybox', ['cpio', '-i', '--to-stdout', 'reprise/key'], {
      input: archive,
      stdio: ['pipe', 'pipe', 'ignore'],
    }).toString(),
  ).toBe('geheim')
})
