/**
 * How CPython 3.11 with NumPy inside (runtimes/numpy) is started warm: as without it, and NumPy is imported then. That
 * asks for entropy once, for NumPy's global generator. A warm-up has none to give: the generator is seeded with zeros,
 * and again, from the computation's own seed, behind the warm point.
 */
import { VARIABLES_AT_START, SITECUSTOMIZE } from './warm-python.ts'

/** Of NumPy's own besides. */
export const NUMPY_VARIABLES_AT_START = new RegExp(`${VARIABLES_AT_START.source}|^(?:NUMPY_|NPY_)`)

/**
 * Top-level modules of the library that importing NumPy imports, and the interpreter's start does not. A script that has
 * one of that name beside it would not find it, and starts cold.
 */
export const NUMPY_MODULES_AT_START: ReadonlySet<string> = new Set(
  (
    '_compat_pickle _compression _weakrefset ast bz2 collections contextlib copyreg datetime decimal enum fnmatch functools ' +
    'importlib keyword lzma ntpath numbers numpy operator pathlib pickle platform re reprlib shutil struct textwrap ' +
    'threading types urllib warnings weakref'
  ).split(' '),
)

const START = '    del sys.modules["runpy"], sys.modules["sitecustomize"]\n'
const END = 'sys.modules["runpy"] = _Runpy()\n'

export const NUMPY_SITECUSTOMIZE = replaced(
  replaced(SITECUSTOMIZE, START, `${START}    sys.modules["numpy"].random.seed()\n`),
  END,
  `def _import():
    import os

    urandom = os.urandom
    os.urandom = bytes  # as many zeros
    import numpy

    os.urandom = urandom


_import()
${END}`,
)

function replaced(text: string, part: string, by: string): string {
  if (text.split(part).length !== 2) throw new Error(`the bootstrap of Python has changed: ${part}`)
  return text.replace(part, () => by)
}
