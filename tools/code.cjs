'use strict'
/**
 * How a build loads its own files: `load.js` of every build, see bundle.ts.
 *
 *     require('./load.js')(name)    runs the file that an entry point stands for
 *
 * V8's compiled form of what was loaded is kept in `compiled/` beside the files: one file for each entry point and, of the
 * command, for each of its subcommands. Node's own compile cache keeps what V8 compiles before a file runs. This one keeps
 * what had been compiled when the process ended, or was past its start, so the functions that a command calls are not parsed
 * again by the next one.
 *
 *     4 bytes CRC-32 of what follows, 4 bytes length of the head (both big-endian), the head as JSON, V8's data
 *     head: { isWhole, files: { name: { source: CRC-32 of the file, at, lengthBytes } } }
 *
 * It is a cache: one that is missing, damaged, of other sources or of another V8 costs time, and a folder that cannot be
 * written to keeps none. Who means to change it can change the files beside it as well: what is asked is whether chance did.
 */
const { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { isMainThread } = require('node:worker_threads')
const { constants, Script } = require('node:vm')

/**
 * Later a process is no longer at its start: of what it has compiled by then a short one needs two thirds, and would read all. That
 * took 9 to 19 of 295 ms.
 */
const START_MS = 2000
/** Smaller files are compiled as fast as they are found: the first ones start a thread, which is not to wait for anything. */
const SMALL_BYTES = 1 << 14
/** What was typed may be no command at all. */
const EXIT_USAGE = 2
/** Of a process that goes on, and a thread that does not end by itself. */
const KEEP_MS = 1500

const builtin = createRequire(__filename)
/** Loading it takes longer than the first files do. */
const crc32 = (bytes) => builtin('node:zlib').crc32(bytes)
const modules = new Map()
/** What was loaded, by name: the script, the CRC-32 of its source, and whether its compiled form was kept. */
const loaded = new Map()
/** Undefined until it is read. */
let kept
/** It comes from a process that came to a good end. */
let isWhole = false
/** Undefined where none is kept. */
let keptPath

function load(name) {
  const known = modules.get(name)
  if (known !== undefined) return known.exports
  const filename = `${__dirname}/${name}`
  const text = readFileSync(filename)
  const isCached = keptPath !== undefined && text.length > SMALL_BYTES
  const source = isCached ? crc32(text) : undefined
  const found = isCached ? (kept ??= readKept()).get(name) : undefined
  // A function of `exports, require, module, __filename, __dirname`, in ASCII: V8 takes it as it is.
  const script = new Script(text.latin1Slice(), {
    filename,
    cachedData: found?.source === source ? found?.data : undefined,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  if (isCached) loaded.set(name, { script, source, isKept: script.cachedDataRejected === false })
  const module = { exports: {} }
  modules.set(name, module)
  script.runInThisContext().call(module.exports, module.exports, requireFrom, module, filename, __dirname)
  return module.exports
}

function requireFrom(name) {
  return name.startsWith('./') ? load(name.slice(2)) : builtin(name)
}
requireFrom.resolve = builtin.resolve

/** What is kept: the CRC-32 of its source and the compiled form, by name. */
function readKept() {
  const found = new Map()
  try {
    const file = readFileSync(keptPath)
    const content = file.subarray(4)
    if (crc32(content) !== file.readUInt32BE(0)) return found
    const dataAt = 4 + content.readUInt32BE(0)
    const head = JSON.parse(content.toString('utf8', 4, dataAt))
    for (const [name, { source, at, lengthBytes }] of Object.entries(head.files))
      found.set(name, { source, data: content.subarray(dataAt + at, dataAt + at + lengthBytes) })
    isWhole = head.isWhole
  } catch {
    // There is none.
  }
  return found
}

/** Keeps the compiled form of all that this thread has loaded, if some of it was not, or not by one that came to its end. */
function keep(isEnd) {
  if (kept === undefined || performance.now() >= START_MS) return
  if ((isWhole || !isEnd) && [...loaded.values()].every(({ isKept }) => isKept)) return
  isWhole = isEnd
  const made = new Map(kept)
  for (const [name, { script, source }] of loaded) made.set(name, { source, data: script.createCachedData() })
  kept = made
  for (const each of loaded.values()) each.isKept = true
  const temporary = `${keptPath}.${process.pid}-${isMainThread ? 0 : builtin('node:worker_threads').threadId}`
  try {
    mkdirSync(`${__dirname}/compiled`, { recursive: true })
    writeFileSync(temporary, encode(made))
    renameSync(temporary, keptPath)
  } catch {
    try {
      rmSync(temporary, { force: true })
    } catch {
      // Where it could not be written it need not be removed.
    }
  }
}

function encode(entries) {
  const files = {}
  let at = 0
  for (const [name, { source, data }] of entries) {
    files[name] = { source, at, lengthBytes: data.length }
    at += data.length
  }
  const text = Buffer.from(JSON.stringify({ isWhole, files }))
  const content = Buffer.concat([word(text.length), text, ...[...entries.values()].map(({ data }) => data)])
  return Buffer.concat([word(crc32(content)), content])
}

function word(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** @param name - The entry point. */
module.exports = (name) => {
  const command = name === 'main' ? process.argv[2] : undefined
  // A question for the version or for help loads next to nothing.
  const isWork = name !== 'main' || (/^[a-z-]{1,40}$/.test(command ?? '') && !command.startsWith('-'))
  if (isWork && !process.argv.includes('--help')) {
    const role = command === undefined ? name : `${name}-${command}`
    keptPath = `${__dirname}/compiled/${role}-${process.version}-${process.arch}`
    if (isMainThread) process.once('exit', (code) => code !== EXIT_USAGE && keep(code === 0))
    setTimeout(keep, KEEP_MS, false).unref()
    // For a thread that stands still where no timer reaches it, and is ended from outside.
    globalThis[Symbol.for('reprise.keepCode')] = () => keep(true)
  }
  return load(`${name}.body.js`)
}
