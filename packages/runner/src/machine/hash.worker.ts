/** The hash thread: turns changed pages of the shadow into state roots while the machine goes on. */
import { hash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { PageTree, stateRoot } from '@reprise/core'
import { CONTROL_HASHING, type HashRequest, type HashResult, type HashWorkerData } from './protocol.ts'

const { control, shadow, enginePort } = workerData as HashWorkerData
const flags = new Int32Array(control)
const sha256 = (data: Uint8Array): Uint8Array => hash('sha256', data, 'buffer')
const tree = new PageTree(sha256)

enginePort.on('message', (request: HashRequest) => {
  tree.update(new Uint8Array(shadow, 0, request.memoryBytes), request.pages)
  const memoryRoot = tree.root()
  Atomics.store(flags, CONTROL_HASHING, 0)
  Atomics.notify(flags, CONTROL_HASHING)
  const result: HashResult = {
    position: request.position,
    stateRoot: stateRoot(memoryRoot, request.engineState, sha256),
    outputsRoot: request.outputsRoot,
  }
  parentPort?.postMessage(result)
})
