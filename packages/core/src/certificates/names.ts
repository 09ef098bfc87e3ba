/** Distinguished names: as text for people, and as a key under which issuers are found. */
import { AttributeTypeAndValue, AttributeValue, Name, RelativeDistinguishedName } from '@peculiar/asn1-x509'

export interface DistinguishedName {
  /** `CN=…, O=…`, in the order in which it stands; for showing only. */
  readonly text: string
  /**
   * Equal for names that RFC 5280 §7.1 calls equal, as far as ASCII goes: letters in lower case, white space folded, members
   * of a set in one order. Nothing rests on it but which issuers are tried: the signature decides.
   */
  readonly key: string
}

const COMMON_NAME = '2.5.4.3'
const SHORT: Readonly<Record<string, string>> = {
  [COMMON_NAME]: 'CN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
}

export function describeName(name: Name): DistinguishedName {
  const sets = [...name].map((set) => [...set].map(({ type, value }) => ({ type, text: value.toString() })))
  return {
    text: sets.flatMap((set) => set.map(({ type, text }) => `${SHORT[type] ?? type}=${text}`)).join(', '),
    key: JSON.stringify(sets.map((set) => set.map(({ type, text }) => [type, folded(text)].join('=')).sort())),
  }
}

function folded(text: string): string {
  return text.trim().replace(/\s+/g, ' ').toLowerCase()
}

/** The one common name; undefined when there is none, or more. */
export function commonName(name: Name): string | undefined {
  const all = [...name].flatMap((set) => [...set]).filter(({ type }) => type === COMMON_NAME)
  return all.length === 1 ? all[0].value.toString() : undefined
}

/** A name of nothing but a common name. */
export function nameOf(text: string): Name {
  const value = new AttributeValue({ utf8String: text })
  return new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: COMMON_NAME, value })])])
}
