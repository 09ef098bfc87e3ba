/** Decodes the statements that attestations carry, exactly. Format: spec/power-cycles.md §2, §3. */
import { LABEL_BYTES_MAX } from './limits.ts'
import { fields, hexBytes, label, nullable } from './shape.ts'
import type { BootStatement, CounterStatement } from './types.ts'

/** @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong. */
export function decodeBootStatement(value: unknown, path = '$'): BootStatement {
  const statement = fields(value, path, ['bootId', 'counter', 'startup'])
  const startup = fields(statement.startup, `${path}.startup`, ['attest', 'response', 'signature'])
  return {
    bootId: nullable(statement.bootId, `${path}.bootId`, (item, at) => label(item, at, LABEL_BYTES_MAX)),
    counter: decodeCounterStatement(statement.counter, `${path}.counter`),
    startup: {
      attest: hexBytes(startup.attest, `${path}.startup.attest`),
      response: hexBytes(startup.response, `${path}.startup.response`),
      signature: hexBytes(startup.signature, `${path}.startup.signature`),
    },
  }
}

/** @throws {@link EvidenceError} `STRUCTURE`, with the path of what is wrong. */
export function decodeCounterStatement(value: unknown, path = '$'): CounterStatement {
  const statement = fields(value, path, ['attest', 'public', 'signature'])
  return {
    attest: hexBytes(statement.attest, `${path}.attest`),
    public: hexBytes(statement.public, `${path}.public`),
    signature: hexBytes(statement.signature, `${path}.signature`),
  }
}
