/** What people try who are not the host that they say they are. */

import { TPM_ALG, TPM_ST, TPMA_OBJECT, type TpmsAttestFields } from '@reprise/core'
import { afterEach, describe, expect, test } from 'vitest'
import type { Hello, ProofFrame } from './frames.ts'
import { helloOf, identities, lab, type Lab, opened, proofOf, unsigned } from './testing/lab.ts'
import { openChannel } from './open.ts'
import { callRaw, type RawPeer, type RawServer, serveRaw } from './testing/raw-peer.ts'
import { softwareHost, type SoftwareHost, type SoftwareHostOptions } from './testing/software-host.ts'

const raws: RawServer[] = []
afterEach(() => {
  for (const raw of raws.splice(0)) raw.close()
})

/** Says hello and this proof, and gives back what the witness says of it. */
async function ask(
  here: Lab,
  options: {
    readonly hello?: Hello
    readonly change?: (proof: ProofFrame) => ProofFrame
    readonly by?: SoftwareHost
  } = {},
): Promise<string> {
  const { hello = helloOf(here.asking), change = (proof) => proof, by = here.asking } = options
  const peer = await callRaw(here.server.address, identities.thief)
  peer.send(hello)
  const theirs = await peer.next()
  if (theirs?.kind !== 'hello') return theirs?.kind === 'refuse' ? theirs.why : 'ended'
  const proof = await proofOf(by, peer, theirs)
  peer.send(change(proof))
  const last = await peer.next()
  peer.socket.destroy()
  return last === undefined ? 'ended' : last.kind === 'refuse' ? last.why : last.kind
}

describe('a witness', () => {
  test('takes a proof that is put together by hand as this page says', async () => {
    await using here = await lab()
    expect(await ask(here)).toBe('proof')
    expect(here.witness.quotes).toBe(1)
  })

  test.each<[string, (here: Lab) => Partial<Hello>, RegExp]>([
    ['a host that nobody knows', () => ({ host: 'web-9' }), /has no host web-9/],
    ['the key of another host of the roster', () => ({ host: 'web-2' }), /not the one that the plan has for web-2/],
    ['its own name', () => ({ host: 'witness-1' }), /as this host is/],
    ['a key that is none', () => ({ akPublic: new Uint8Array(90) }), /cannot be read/],
    ['a key with a byte more', (here) => ({ akPublic: Uint8Array.of(...here.asking.akPublic, 0) }), /cannot be read/],
  ])('refuses %s', async (_who, hello, why) => {
    await using here = await lab()
    expect(await ask(here, { hello: { ...helloOf(here.asking), ...hello(here) } })).toMatch(why)
    unsigned(here)
  })

  test.each([
    ['expunged', { state: 'expunged' as const }, /is expunged in the plan/],
    ['not provisioned', { ak: undefined }, /has no attestation key in the plan/],
    ['provisioned anew', { ak: '000b'.padEnd(68, '0') }, /not the one that the plan has/],
  ])('refuses a host that is %s', async (_how, change, why) => {
    await using here = await lab({
      plan: (view) => ({
        ...view,
        hosts: new Map([...view.hosts].map(([id, host]) => [id, id === 'web-1' ? { ...host, ...change } : host])),
      }),
    })
    expect(await ask(here)).toMatch(why)
    unsigned(here)
    expect(await here.open()).toMatchObject({ kind: 'unattested', why: expect.stringMatching(why) as string })
  })

  const all = Object.entries(TPMA_OBJECT)
  const NEEDED = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign']
  const sound = NEEDED.reduce((sum, name) => sum | (TPMA_OBJECT as Record<string, number>)[name], 0)
  test.each([
    ...all.filter(([name]) => NEEDED.includes(name)).map(([name, bit]) => [`not ${name}`, sound & ~bit] as const),
    ['for decryption too', sound | TPMA_OBJECT.decrypt] as const,
  ])('refuses a key that is %s', async (_how, attributes) => {
    await using here = await lab({ asking: softwareHost('web-1', { attributes }) })
    expect(await ask(here)).toMatch(/must be restricted, signing, and fixed to its TPM/)
    unsigned(here)
  })

  test('refuses the signature of another key, of this roster or none', async () => {
    await using here = await lab()
    const thief = softwareHost('web-1')
    expect(await ask(here, { by: thief })).toMatch(/is not signed by the attestation key of web-1/)
    expect(await ask(here, { by: Object.assign(softwareHost('web-1'), { ak: here.asking.ak }) })).toMatch(/not signed/)
    unsigned(here)
  })

  const quoteInfo = (fields: TpmsAttestFields) =>
    fields.type === TPM_ST.ATTEST_QUOTE ? fields.attested : { pcrSelect: [], pcrDigest: new Uint8Array() }
  const twists: readonly (readonly [string, SoftwareHostOptions['twist'], RegExp])[] = [
    [
      'another type of attestation',
      (fields) => ({
        ...fields,
        type: TPM_ST.ATTEST_CERTIFY,
        attested: { name: new Uint8Array(34), qualifiedName: new Uint8Array(34) },
      }),
      /no quote/,
    ],
    ['other qualifying data', (fields) => ({ ...fields, extraData: new Uint8Array(32) }), /not of this connection/],
    ['none', (fields) => ({ ...fields, extraData: new Uint8Array() }), /not of this connection/],
    [
      'a key below another one',
      (fields) => ({ ...fields, qualifiedSigner: new Uint8Array(34) }),
      /no primary key of the endorsement hierarchy/,
    ],
    [
      'fewer registers',
      (fields) => ({
        ...fields,
        type: TPM_ST.ATTEST_QUOTE,
        attested: { ...quoteInfo(fields), pcrSelect: [{ hash: TPM_ALG.SHA256, pcrs: [4, 7] }] },
      }),
      /not over the registers/,
    ],
    [
      'registers of another bank',
      (fields) => ({
        ...fields,
        type: TPM_ST.ATTEST_QUOTE,
        attested: { ...quoteInfo(fields), pcrSelect: [{ hash: TPM_ALG.SHA1, pcrs: [4, 7, 14] }] },
      }),
      /not over the registers/,
    ],
    [
      'a bank too many',
      (fields) => ({
        ...fields,
        type: TPM_ST.ATTEST_QUOTE,
        attested: {
          ...quoteInfo(fields),
          pcrSelect: [...quoteInfo(fields).pcrSelect, { hash: TPM_ALG.SHA1, pcrs: [] }],
        },
      }),
      /not over the registers/,
    ],
    [
      'a digest of other values',
      (fields) => ({
        ...fields,
        type: TPM_ST.ATTEST_QUOTE,
        attested: { ...quoteInfo(fields), pcrDigest: new Uint8Array(32) },
      }),
      /not those that its TPM quoted/,
    ],
  ]
  test.each(twists)('refuses a quote with %s', async (_what, twist, why) => {
    await using here = await lab({ asking: softwareHost('web-1', twist === undefined ? {} : { twist }) })
    expect(await ask(here)).toMatch(why)
    unsigned(here)
  })

  test.each<[string, (proof: ProofFrame) => ProofFrame, RegExp]>([
    [
      'values that do not match',
      (proof) => ({ ...proof, registers: proof.registers.map(() => new Uint8Array(32).fill(1)) }),
      /not those that its TPM quoted/,
    ],
    ['a value too few', (proof) => ({ ...proof, registers: proof.registers.slice(1) }), /not over the registers/],
    [
      'a value too many',
      (proof) => ({ ...proof, registers: [...proof.registers, new Uint8Array(32)] }),
      /not over the registers/,
    ],
    ['a path too long', (proof) => ({ ...proof, path: [new Uint8Array(32)] }), /not of this connection/],
    ['another count', (proof) => ({ ...proof, count: 2, path: [new Uint8Array(32)] }), /not of this connection/],
    ['a place beyond the count', (proof) => ({ ...proof, index: 1 }), /not of this connection/],
    ['a signature of nothing', (proof) => ({ ...proof, signature: Uint8Array.of(0) }), /nothing that a TPM made/],
    ['an attestation cut short', (proof) => ({ ...proof, attest: proof.attest.slice(0, -1) }), /nothing that a TPM/],
    ['a changed byte', (proof) => ({ ...proof, attest: proof.attest.with(60, 1) }), /not signed|nothing that a TPM/],
  ])('refuses a proof with %s', async (_what, change, why) => {
    await using here = await lab()
    expect(await ask(here, { change })).toMatch(why)
    unsigned(here)
  })

  test('refuses what was said on another connection', async () => {
    await using here = await lab()
    const heard: ProofFrame[] = []
    await ask(here, {
      change(proof) {
        heard.push(proof)
        return proof
      },
    })
    const before = here.witness.quotes
    expect(await ask(here, { change: () => heard[0] })).toMatch(/not of this connection: somebody stands between/)
    expect(here.witness.quotes).toBe(before)
  })
})

/** Both ways at once; each side's first hello is as the other sent it. */
async function stand(between: RawPeer, address: string): Promise<void> {
  const onward = await callRaw(address, identities.thief)
  between.isDeaf = true
  onward.isDeaf = true
  const relay = async (from: RawPeer, to: RawPeer): Promise<void> => {
    for (let frame = await from.next(); frame !== undefined; frame = await from.next()) to.send(frame)
    to.socket.end()
  }
  await Promise.all([relay(between, onward), relay(onward, between)])
}

describe('an asking host', () => {
  test('is not heard through somebody who ends TLS in the middle and passes all on', async () => {
    await using here = await lab()
    const middle = await serveRaw(identities.thief, (peer) => stand(peer, here.server.address))
    raws.push(middle)
    const hosts = new Map([...here.view.hosts].map(([id, host]) => [id, { ...host, address: middle.address }]))
    const result = await here.open({ view: { ...here.view, hosts } })
    expect(result).toMatchObject({
      kind: 'unattested',
      why: expect.stringMatching(/somebody stands between/) as string,
    })
    unsigned(here)
    // The same without the middle.
    opened(await here.open())
  })

  /** An answering side with that key, which says these things. */
  async function against(
    here: Lab,
    play: (peer: RawPeer, theirs: Hello) => Promise<void>,
    timeoutMs = 60_000,
  ): Promise<unknown> {
    const server = await serveRaw(identities.thief, async (peer) => {
      const theirs = await peer.next()
      if (theirs?.kind === 'hello') await play(peer, theirs)
    })
    raws.push(server)
    const hosts = new Map([...here.view.hosts].map(([id, host]) => [id, { ...host, address: server.address }]))
    return openChannel({
      ...{ tpm: here.asking, view: { ...here.view, hosts }, to: 'witness-1', timeoutMs },
      identity: identities.asking,
    })
  }

  test.each<[string, (peer: RawPeer, theirs: Hello, here: Lab) => Promise<void> | void, RegExp]>([
    ['its own hello back', (peer, theirs) => peer.send(theirs), /web-1 answers there, not witness-1/],
    [
      'its own proof back',
      async (peer, theirs, here) => {
        peer.send({ ...helloOf(here.witness), nonce: theirs.nonce })
        const proof = await peer.next()
        if (proof !== undefined) peer.send(proof)
      },
      /is not signed by the attestation key of witness-1/,
    ],
    [
      'another host of the roster',
      (peer, _, here) => peer.send({ ...helloOf(here.witness), host: 'web-2' }),
      /web-2 answers there, not witness-1/,
    ],
    ['two hellos', (peer, _, here) => peer.send(helloOf(here.witness), helloOf(here.witness)), /hello out of turn/],
    ['a proof first', (peer) => peer.send(anyProof), /proof out of turn/],
    ['an answer before its proof', (peer) => peer.send(anAnswer), /answer before it is attested/],
    [
      'an echo that it could foresee',
      (peer, _, here) => peer.send(helloOf(here.witness), foreseen),
      /an echo out of turn/,
    ],
    ['the echo after the next', (peer, _, here) => peer.send(helloOf(here.witness), tooEarly), /an echo out of turn/],
    [
      'a refusal',
      (peer) => peer.send({ kind: 'refuse', why: 'you are a thief' }),
      /refuses this host: you are a thief/,
    ],
    ['nonsense', (peer) => peer.write(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')), /breaks the rules/],
  ])('is not taken in by %s', async (_what, play, why) => {
    await using here = await lab()
    const result = await against(here, async (peer, theirs) => play(peer, theirs, here))
    expect(result).toMatchObject({ kind: 'unattested', why: expect.stringMatching(why) as string })
  })

  test('is not taken in by a host of the roster that passes on what the witness proved to it', async () => {
    const insider = softwareHost('web-2')
    await using here = await lab()
    const hosts = new Map(
      [...here.view.hosts].map(([id, host]) => [id, id === 'web-2' ? { ...host, ak: insider.ak } : host]),
    )
    here.view = { ...here.view, hosts }
    const result = await against(here, async (peer) => {
      const onward = await callRaw(here.server.address, identities.thief)
      onward.send(helloOf(insider))
      const witness = await onward.next()
      if (witness?.kind !== 'hello') throw new Error('no hello')
      peer.send(witness)
      onward.send(await proofOf(insider, onward, witness))
      const proof = await onward.next()
      if (proof?.kind === 'proof') peer.send(proof)
    })
    expect(here.witness.quotes).toBe(1)
    expect(result).toMatchObject({
      kind: 'unattested',
      why: expect.stringMatching(/somebody stands between/) as string,
    })
  })

  test('cannot reach one that falls silent, or leaves', async () => {
    await using here = await lab()
    const silent = await against(
      here,
      (peer) => {
        peer.send(helloOf(here.witness))
        return Promise.resolve()
      },
      3000,
    )
    expect(silent).toMatchObject({ kind: 'unreachable', why: expect.stringMatching(/within 3000 ms/) as string })
    const gone = await against(here, (peer) => {
      peer.socket.destroy()
      return Promise.resolve()
    })
    expect(gone).toMatchObject({ kind: 'unreachable' })
  })

  test('is not taken in by its own proof, though the witness has the same key', async () => {
    // The worst case for reflection: one TPM at both ends. Only the role is another one.
    const one = softwareHost('web-1')
    const twin = { ...one, host: 'witness-1' }
    await using here = await lab({ asking: one, witness: twin })
    const result = await against(here, async (peer) => {
      peer.send(helloOf(twin))
      const proof = await peer.next()
      if (proof !== undefined) peer.send(proof)
    })
    expect(result).toMatchObject({ kind: 'unattested', why: expect.stringMatching(/not of this connection/) as string })
  })
})

const anyProof: ProofFrame = {
  ...{ kind: 'proof', attest: new Uint8Array(9), signature: new Uint8Array(9), registers: [], index: 0, count: 1 },
  path: [],
}
const foreseen = { kind: 'echo', turn: 1, nonce: new Uint8Array(8), back: new Uint8Array(8) } as const
const tooEarly = { ...foreseen, turn: 3 } as const
const anAnswer = { kind: 'answer', id: 1, answer: { kind: 'committed', epoch: 1 } } as const
