/** What the reader of a vector brings: the policy and the rules that lie beside it. */
import { decodeHostRules, type VerifyOptions } from '@reprise/core'
import { readTrustPolicy } from '@reprise/core/certificates'
import { READ_AT } from './cases/case.ts'
import { nodeCrypto } from './node-crypto.ts'

/** A file beside a vector, when it is there. */
export type Beside = (name: string) => Uint8Array | undefined

export async function readerOptions(beside: Beside): Promise<VerifyOptions> {
  const policy = beside('trust.json')
  const rules = beside('host-rules.json')
  const readBeside = async (name: string): Promise<Uint8Array> => {
    const file = beside(name)
    if (file === undefined) throw new Error(`${name} is missing`)
    return file
  }
  return {
    crypto: nodeCrypto,
    nowMs: Date.parse(READ_AT),
    ...(policy !== undefined && { trust: await readTrustPolicy(policy, { readBeside, crypto: nodeCrypto }) }),
    ...(rules !== undefined && { hostRules: decodeHostRules(JSON.parse(new TextDecoder().decode(rules))) }),
  }
}
