/** What happens with an image once it is open. Truth: spec/loading.md. */
export { buildFrom, type ImageBuild, type ImageInput, imageInput } from './build/build-image.ts'
export { holderAbsent } from './holder.ts'
export { kexecLoader } from './kexec.ts'
export { payloadKind, type Payload, requireMemory } from './memory.ts'
export { namespaceLoader } from './namespace.ts'
export { frontier } from './order.ts'
export {
  encodePrograms,
  parsePrograms,
  type Program,
  type Programs,
  PROGRAMS_BYTES_MAX,
  PROGRAMS_PATH,
  type Volume,
} from './programs.ts'
export type { Credentials, Loaded, Loader, LoadRequest } from './types.ts'
export { vmLoader } from './vm.ts'
