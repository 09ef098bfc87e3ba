/** What the tools that run CPython's own tests share. */
import { execFileSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { repriseHome } from '@reprise/host'

/** Where builds keep the files of sources, each behind its digest. */
const folderOfSources = (): string => join(repriseHome(), 'cache', 'runtimes', 'sources')

/** The file of a source, such as `python3.11_3.11.2.orig.tar.gz`, as a build of `python` left it below REPRISE_HOME. */
export function sourceFile(name: string): string {
  const found = readdirSync(folderOfSources()).find((kept) => kept.endsWith(`-${name}`))
  if (found === undefined) throw new Error(`no ${name} in ${folderOfSources()}: reprise runtime build python`)
  return join(folderOfSources(), found)
}

/** Puts the tests, which stand beside the library in the sources, into a folder: `test/`, and `regression.py`, which runs modules. */
export function unpackTests(folder: string): void {
  const archive = sourceFile('python3.11_3.11.2.orig.tar.gz')
  execFileSync('tar', ['-xf', archive, '-C', folder, '--strip-components=2', '--wildcards', '*/Lib/test/*'])
  const script = "import sys\nfrom test.libregrtest import main\n\nsys.argv.insert(1, '-v')\nmain()\n"
  writeFileSync(join(folder, 'regression.py'), script)
}
