/** Lua 5.4, compiled from the C sources that the package of bench/lua carries. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compiledObject, compiledProgram, type Included } from '../../tools/compile-c.ts'

const FOLDER = join(import.meta.dirname, '..', 'lua')
const SOURCES = join(FOLDER, 'node_modules', 'react-native-lua', 'cpp', 'lua_src')
/** The C library here has no setjmp.h, and that package's locks are for its threads. */
const EMPTY = ['setjmp.h', 'skrnlua_multithread_define.h']

/** Besides our own. */
const PROGRAMS = new Set(['lua.c', 'luac.c'])
const MAIN = join(import.meta.dirname, 'lua.c')

export function luaProgram(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(compiledProgram(MAIN, { included: included() })))
}

/** What the linker makes the program of. */
export function luaObject(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(compiledObject(MAIN, { included: included() })))
}

const included = (): Included => new Map(luaIncluded().map(({ path, bytes }) => [path, bytes]))

/** What lua.c includes; brought by `npm ci` when it is not there. */
export function luaIncluded(): readonly { readonly path: string; readonly bytes: Uint8Array<ArrayBuffer> }[] {
  if (!existsSync(join(SOURCES, 'lvm.c'))) {
    const words = ['ci', '--no-audit', '--no-fund', '--loglevel=error', '--ignore-scripts']
    execFileSync('npm', words, { cwd: FOLDER, stdio: ['ignore', 'ignore', 'inherit'] })
  }
  const names = readdirSync(SOURCES).filter((name) => /\.[ch]$/.test(name) && !PROGRAMS.has(name))
  const files = names.map((path) => ({ path, bytes: new Uint8Array(readFileSync(join(SOURCES, path))) }))
  return [...files, ...EMPTY.map((path) => ({ path, bytes: new Uint8Array() }))]
}
