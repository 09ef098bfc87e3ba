/** The loader `vm`: a door that stands open for an engine of virtual machines. */

import type { Loader } from './types.ts'

export const vmLoader: Loader = {
  name: 'vm',
  load: () =>
    Promise.resolve({
      kind: 'unsupported',
      why: 'this version has no virtual machines to load an image into; use the loader namespace or kexec',
    }),
}
