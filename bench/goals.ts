/** What the summary's figures should reach; the first bound is for now, a better one is wanted later. */

export interface Goal {
  readonly most?: number
  readonly least?: number
}

export const goals: Readonly<Record<string, Goal>> = {
  'start.version.cpuS': { most: 0.15 },
  'start.wasm.wallS': { most: 0.5 },
  'start.python.wallS': { most: 2 },
  'start.python.warm.wallS': { most: 0.3 },
  'wasm.fuel.geomean': { most: 1.08 },
  'wasm.signed.geomean': { most: 1.15 },
  'wasm.signed.noNan.geomean': { most: 1.08 },
  'wasm.signed.noNan.kernels.geomean': { most: 1.03 },
  'wasm.signed.noNan.interpreters.geomean': { most: 1.15 },
  'wasm.resumable.geomean': { most: 1.15 },
  'wasm.resumable.lua.ratio': { most: 1.25 },
  'wasm.resumable.sqlite.ratio': { most: 1.4 },
  'wasm.nan.kernels.geomean': { most: 1.2 },
  'wasm.afterResume.ratio': { most: 1.05 },
  'wasm.codeGrowth': { most: 1.8 },
  'restore.msPerMb': { most: 0.3 },
  'restore.interceptMs': { most: 20 },
  'repeat.segments2.ratio': { most: 0.6 },
  'wasm.stall2g.ms': { most: 40 },
  'python.native.ratio': { most: 3 },
  'python.fuel.ratio': { most: 1.1 },
  'numpy.native.elementwise.ratio': { most: 3 },
  'numpy.native.reductions.ratio': { most: 3 },
  'numpy.native.matmul.ratio': { most: 4 },
  'numpy.native.svd.ratio': { most: 4 },
  'start.numpy.warm.wallS': { most: 0.4 },
  'rewrite.mbPerS': { least: 5 },
  'sign.rate.ratio': { least: 0.8 },
  'recovery.decrypt.gbPerS': { least: 1 },
  'recovery.loadS': { most: 10 },
  'channel.attestedPerS': { least: 200 },
  'enrol.hostS': { most: 2 },
  'recovery.simulate.falseReleases': { most: 0 },
  'recovery.simulate.stuck': { most: 0.005 },
  'recovery.simulate.wallS': { most: 60 },
  'recovery.fleet.gatherS': { most: 2 },
  'recovery.fleet.readyS': { most: 10 },
  'verify.100k.nodeS': { most: 1 },
  'verify.many.ratio': { least: 0.7 },
}

/** `goal ≤ 0.15: reached`, empty for a figure without a goal. */
export function judge(key: string, value: number): string {
  const { most, least } = goals[key] ?? {}
  if (most !== undefined) return `goal ≤ ${most}: ${value <= most ? 'reached' : 'missed'}`
  if (least !== undefined) return `goal ≥ ${least}: ${value >= least ? 'reached' : 'missed'}`
  return ''
}
