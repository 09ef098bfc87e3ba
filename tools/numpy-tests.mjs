/** One file of NumPy's tests in the module, by pytest: for tools/numpy-tests.ts. Arguments: the folder that tools/numpy-tests.sh has filled, and the file as the guest sees it. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { WASI } from 'node:wasi'

const [, , work, file] = process.argv
const temporary = join(work, 'guest', 'tmp')
mkdirSync(temporary, { recursive: true })
const wasi = new WASI({
  version: 'preview1',
  args: [
    'python',
    '-m',
    'pytest',
    '-s',
    '-q',
    '-p',
    'no:faulthandler',
    '-p',
    'no:cacheprovider',
    '-p',
    'no:logging',
    '--tb=line',
    '-W',
    'ignore',
    '-m',
    'not slow',
    '-rfE',
    file,
  ],
  env: {
    PYTHONHOME: '/python',
    PYTHONHASHSEED: '0',
    PYTHONPATH: '/absent:/pytest',
    PYTHONDONTWRITEBYTECODE: '1',
    TMPDIR: '/tmp',
    HOME: '/tmp',
  },
  preopens: {
    '/python': join(work, 'out', 'lib'),
    '/pytest': join(work, 'debian', 'tree', 'usr', 'lib', 'python3', 'dist-packages'),
    '/absent': join(work, 'absent'),
    '/tools': import.meta.dirname,
    '/tmp': temporary,
    '.': join(work, 'guest'),
  },
  returnOnExit: true,
})
const module = new WebAssembly.Module(readFileSync(join(work, 'out', 'runtime.wasm')))
const instance = new WebAssembly.Instance(module, wasi.getImportObject())
process.exitCode = wasi.start(instance)
