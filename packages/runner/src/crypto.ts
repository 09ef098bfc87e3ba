export { keyObject, nodeCrypto } from '@reprise/host/crypto'
