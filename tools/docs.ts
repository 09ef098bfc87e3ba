/**
 * Runs the code blocks of a Markdown file, as a reader would who pastes them one after the other.
 *
 *     ```sh                               a script: every line must succeed
 *     ```sh  with lines `$ command`       a transcript: what follows a command is what it prints, stdout and
 *                                         stderr together; `…` stands for anything; nothing is not compared
 *     ```ts                               a module, run by Node
 *     ```sh no-run reason="…"             is not run, and says why
 */

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const BLOCK_TIMEOUT_MS = 240_000

export interface Block {
  readonly language: 'sh' | 'ts'
  readonly line: number
  readonly text: string
}

/** One command of a transcript with what it is said to print, '' for nothing said. */
export interface Exchange {
  readonly command: string
  readonly expected: string
}

/** The blocks to run, in order. @throws Error when a `no-run` gives no reason or a fence stays open. */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = []
  const lines = markdown.split('\n')
  for (let at = 0; at < lines.length; at++) {
    const fence = /^(\s*)```(\w*)(.*)$/.exec(lines[at])
    if (!fence) continue
    const [, indent, language, info] = fence
    const start = at + 1
    do at++
    while (at < lines.length && lines[at].trim() !== '```')
    if (at === lines.length) throw new Error(`line ${start}: the fence is never closed`)
    if (language !== 'sh' && language !== 'ts') continue
    if (/\bno-run\b/.test(info)) {
      if (!/\breason="[^"]+"/.test(info)) throw new Error(`line ${start}: no-run wants a reason="…"`)
      continue
    }
    const text = lines.slice(start, at).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line))
    blocks.push({ language, line: start, text: text.join('\n') })
  }
  return blocks
}

/** The commands of a transcript; a command goes on after a backslash at the end of its line. */
export function exchangesOf(text: string): Exchange[] {
  const exchanges: { command: string; expected: string[] }[] = []
  for (const line of text.split('\n')) {
    const last = exchanges.at(-1)
    if (line.startsWith('$ ')) exchanges.push({ command: line.slice(2), expected: [] })
    else if (last?.command.endsWith('\\') && last.expected.length === 0) last.command += `\n${line}`
    else last?.expected.push(line)
  }
  return exchanges.map(({ command, expected }) => ({ command, expected: expected.join('\n').trim() }))
}

/** Is this what was said to be printed? `…` stands for anything, also for lines; spaces at line ends do not count. */
export function printsAsSaid(printed: string, expected: string): boolean {
  const tidy = (text: string): string => text.replaceAll(/[ \t]+$/gm, '').trim()
  const pattern = tidy(expected)
    .split('…')
    .map((part) => RegExp.escape(part))
    .join('[^]*')
  return expected === '' || new RegExp(`^${pattern}$`).test(tidy(printed))
}

/** A fresh folder to run blocks in, with the command on the PATH and as ./reprise, and a home of its own. */
export class Reader implements Disposable {
  readonly #base = mkdtempSync(join(tmpdir(), 'reprise-docs-'))
  readonly home = join(this.#base, 'home')
  readonly #folder = join(this.#base, 'folder')

  constructor(root: string) {
    for (const path of [this.home, this.#folder, join(this.#base, 'bin')]) mkdirSync(path)
    symlinkSync(join(root, 'reprise'), join(this.#base, 'bin/reprise'))
    symlinkSync(join(root, 'reprise'), join(this.#folder, 'reprise'))
    symlinkSync(join(root, 'node_modules'), join(this.#folder, 'node_modules'))
  }

  /** @throws Error that names the command, what it printed and what was expected. */
  async run(block: Block): Promise<void> {
    if (block.language === 'ts') {
      const file = join(this.#folder, `line-${block.line}.ts`)
      writeFileSync(file, block.text)
      await this.#execute([process.execPath, file], block.text)
    } else if (!/^\$ /m.test(block.text)) {
      await this.#execute(['bash', '-euo', 'pipefail', '-c', block.text], block.text)
    } else {
      await this.#runTranscript(exchangesOf(block.text))
    }
  }

  /** One shell for all commands, so that `cd` and variables last; a record separator ends each one's output. */
  async #runTranscript(exchanges: readonly Exchange[]): Promise<void> {
    const script = exchanges.map(({ command }) => `${command}\n[ $? = 0 ] || exit\nprintf '\\036'`).join('\n')
    const whole = exchanges.map(({ command }) => command).join('\n')
    const printed = (await this.#execute(['bash', '-c', `exec 2>&1\n${script}`], whole)).split('\u001e')
    for (const [index, { command, expected }] of exchanges.entries()) {
      if (printsAsSaid(printed[index], expected)) continue
      throw new Error(`$ ${command}\nprints\n${printed[index]}\nand not\n${expected}`)
    }
  }

  async #execute([program, ...args]: string[], shown: string): Promise<string> {
    const env = { ...process.env, REPRISE_HOME: this.home, PATH: `${join(this.#base, 'bin')}:${process.env['PATH']}` }
    const running = promisify(execFile)(program, args, { cwd: this.#folder, timeout: BLOCK_TIMEOUT_MS, env })
    running.child.stdin?.end()
    try {
      return (await running).stdout
    } catch (error) {
      const { code, signal, stdout, stderr } = error as {
        code: unknown
        signal: unknown
        stdout: string
        stderr: string
      }
      throw new Error(`${shown}\nends with ${String(signal ?? code)}:\n${stdout}${stderr}`, { cause: error })
    }
  }

  /** Ends the daemons that were started for this home (only those have it in their environment), then removes it. */
  [Symbol.dispose](): void {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
        if (environment.includes(`REPRISE_HOME=${this.home}`)) process.kill(Number(pid))
      } catch {
        // Gone meanwhile, or not ours to look at.
      }
    }
    rmSync(this.#base, { recursive: true, force: true, maxRetries: 5 })
  }
}
