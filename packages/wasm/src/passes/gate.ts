/** The import gate: decides which of a module's imports the machine offers (spec/wasm-machine.md §3.2). */

import { WasmError } from '../error.ts'
import { SECTION, unsupported, type FunctionType, type WasmModule } from '../module/module.ts'
import { isNumeric } from '../module/opcodes.ts'
import { CHECKPOINT, REPRISE_MODULE, WASI_MODULES, WASI_SIGNATURES } from '../module/wasi-names.ts'

export interface HostImport {
  readonly module: string
  readonly name: string
  /** Parameters, `>`, results; i = i32, I = i64, f = f32, F = f64, V = v128. */
  readonly signature: string
  /** False for a WASI name or signature that preview 1 does not have: calls answer ENOSYS. */
  readonly known: boolean
}

/** @throws {@link WasmError} `IMPORT` for any other module, `NOT_A_COMMAND` without a `_start` to run. */
export function checkImports(module: WasmModule): HostImport[] {
  const start = module.exports.find((item) => item.name === '_start')
  if (start === undefined || start.kind !== 0 || module.types[module.functions[start.index]].key !== '>') {
    throw notACommand(module)
  }
  return module.imports.map(({ module: from, name, type }) => {
    const { params, results } = module.types[type]
    if (![...params, ...results].every(isNumeric)) {
      throw unsupported(
        'references in imports',
        `import ${from}.${name}`,
        module.sections.get(SECTION.import)?.start ?? 0,
      )
    }
    const signature = signatureOf(module.types[type])
    const isWasi = WASI_MODULES.includes(from)
    const known = isWasi
      ? Object.hasOwn(WASI_SIGNATURES, name) && WASI_SIGNATURES[name] === signature
      : from === REPRISE_MODULE && name === CHECKPOINT.name && signature === CHECKPOINT.signature
    if (!isWasi && !known) throw foreignImport(from, name)
    return { module: from, name, signature, known }
  })
}

function signatureOf(type: FunctionType): string {
  const letters = { i32: 'i', i64: 'I', f32: 'f', f64: 'F', v128: 'V' } as const
  const spell = (types: FunctionType['params']): string =>
    types.map((each) => (isNumeric(each) ? letters[each] : '?')).join('')
  return `${spell(type.params)}>${spell(type.results)}`
}

function notACommand(module: WasmModule): WasmError {
  const reactor = module.exports.some((item) => item.name === '_initialize')
  return new WasmError('NOT_A_COMMAND', {
    message: reactor
      ? 'The module is a WASI reactor (it exports _initialize), not a command: there is no program to run.'
      : 'The module exports no function _start without parameters: there is no program to run.',
    hint: 'Build it as a WASI command, with a main function (clang: without -mexec-model=reactor).',
  })
}

function foreignImport(from: string, name: string): WasmError {
  const hint =
    from === 'env' || from === 'a'
      ? 'It was built for a JavaScript host (Emscripten or wasm-bindgen): build it for wasm32-wasip1, or link what is undefined.'
      : 'The machine offers wasi_snapshot_preview1, wasi_unstable and reprise.checkpoint(ptr, len).'
  return new WasmError('IMPORT', {
    message: `The module imports ${from}.${name}, which the deterministic machine does not offer.`,
    hint,
    data: { module: from, name },
  })
}
