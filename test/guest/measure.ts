/** Runs inside the machine: another boot than the approved one, as a firmware that nobody knows would measure it. */
import { connect, openDeviceTransport, PcrExtend } from '@reprise/tpm'

async function main(): Promise<void> {
  await using tpm = connect(await openDeviceTransport())
  await tpm.execute(PcrExtend({ pcrHandle: 4, digests: { sha256: new Uint8Array(32).fill(1) } }))
}

void main()
