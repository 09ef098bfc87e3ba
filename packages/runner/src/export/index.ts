export { exportTpm2, type Tpm2Attestation, type Tpm2Evidence } from './tpm2.ts'
export { exportRecord } from './record.ts'
