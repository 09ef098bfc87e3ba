/** How runtimes begin warm, by the name that a recipe or the stock table gives. Rules: spec/computation.md §6.6. */
import { NUMPY_MODULES_AT_START, NUMPY_SITECUSTOMIZE, NUMPY_VARIABLES_AT_START } from './warm-numpy.ts'
import { READ_AT_START, SITECUSTOMIZE, VARIABLES_AT_START, WARM_FILE, WARM_FOLDER, WARM_MODULE } from './warm-python.ts'

export interface WarmKind {
  /** The program of the warm-up's own, and the folder that it finds it in. */
  readonly bootstrap: string
  readonly folder: string
  readonly file: string
  readonly arguments: readonly string[]
  /** Variables that are read before it is warm. */
  readonly variablesAtStart: RegExp
  /** Names in the working folder that it looks at before it is warm. */
  readonly readAtStart: readonly string[]
  /** Modules that it has imported when it is warm: one of that name in the working folder would not be found. */
  readonly modulesAtStart: ReadonlySet<string>
}

// Byte code, and the C that is on the stack, are those of every 3.11.
const CPYTHON: WarmKind = {
  bootstrap: SITECUSTOMIZE,
  folder: WARM_FOLDER,
  file: WARM_FILE,
  arguments: ['python', '-m', WARM_MODULE],
  variablesAtStart: VARIABLES_AT_START,
  readAtStart: READ_AT_START,
  modulesAtStart: new Set(),
}

export const WARM_KINDS: Readonly<Record<string, WarmKind>> = {
  'cpython-3.11': CPYTHON,
  'cpython-3.11-numpy': {
    ...CPYTHON,
    bootstrap: NUMPY_SITECUSTOMIZE,
    variablesAtStart: NUMPY_VARIABLES_AT_START,
    modulesAtStart: NUMPY_MODULES_AT_START,
  },
}
