export { compare, compareText, concat, equal, fromHex, fromHexInBlocks, fromUtf8, hex, isHex, utf8 } from './bytes.ts'
export { ByteReader, TruncatedError } from './reader.ts'
export { type Field, sized, textDigest, tuple, tupleDigest } from './tuple.ts'
export { ByteWriter } from './writer.ts'
