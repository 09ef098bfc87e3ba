/** Makes a module that can be suspended as binaryen's asyncify does it, at -O2, into a file: asyncify.child.ts MODULE OUTPUT */
import { readFileSync, writeFileSync } from 'node:fs'
import binaryen from 'binaryen'

const [source, target] = process.argv.slice(2)
const module = binaryen.readBinary(new Uint8Array(readFileSync(source)))
const { MutableGlobals, SignExt, NontrappingFPToInt, BulkMemory } = binaryen.Features
module.setFeatures(MutableGlobals | SignExt | NontrappingFPToInt | BulkMemory)
binaryen.setOptimizeLevel(2)
binaryen.setShrinkLevel(0)
module.runPasses(['asyncify'])
module.optimize()
writeFileSync(target, module.emitBinary())
process.stdout.write('{}')
