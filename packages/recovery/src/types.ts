/**
 * The words of host recovery as values: fleet, plan, shares, facts. Nothing here does anything.
 *
 * Truth: spec/recovery.md; each type names its section.
 */

/** Name of a host in its fleet: 1 to 63 of `a-z 0-9 . _ -`, beginning and ending with a letter or digit. */
export type HostId = string

/** What fails together (§2). Names are those of the whole fleet: a rack and a PDU stand in one room, a room in one zone. */
export interface FaultDomain {
  readonly zone: string
  readonly room: string
  readonly rack: string
  /** The power distribution unit that feeds the host; it may feed several racks of its room. */
  readonly pdu: string
}

export type HostState = 'active' | 'expunged'

/** One line of the roster (§2). */
export interface RosterHost {
  readonly id: HostId
  /** `host:port`, where its witness answers. */
  readonly address: string
  readonly domain: FaultDomain
  /** TPM Name of its attestation key, hex; undefined until the host was provisioned. */
  readonly ak: string | undefined
  readonly state: HostState
  /** Value of its TPM's counter of approvals that approvals are made for; the host counts up to it, and so takes older ones back. */
  readonly approvals: number | undefined
  /** What machine it is, for people. */
  readonly hardware: string | undefined
}

/** Who belongs to the fleet. It only ever grows in version; a host that has seen a version takes no lower one. */
export interface Roster {
  readonly version: number
  readonly hosts: readonly RosterHost[]
}

export type PlanMode = 'quorum' | 'tpm-only'

/** How leases are judged when no clock that ran through the outage can be asked (§4.3). */
export type DeadClocks = 'wall' | 'refuse'

/** The numbers that the gate and the placement go by (§2.2). */
export interface RecoveryPolicy {
  /** N: witnesses of each host. */
  readonly witnesses: number
  /** K: shares that make up the quorum half. */
  readonly threshold: number
  /** L: how old the last heartbeat that witnesses signed may be, in milliseconds. */
  readonly leaseMs: number
  /** B: how many resets a host may have had since that heartbeat. */
  readonly resetBudget: number
  /** What a round trip may take above the baseline of its path, in milliseconds. */
  readonly roundTripMarginMs: number
  /** Hosts on one PDU, the recovering host itself counted, that may be among it and its witnesses. */
  readonly perPdu: number
  /** Witnesses in one room. */
  readonly perRoom: number
  /** Most witnesses in the zone of the host itself. */
  readonly ownZone: number
  /** Odds of theft, 0 to 1, from which on nothing is released. */
  readonly theftOdds: number
  readonly deadClocks: DeadClocks
}

/** How a service says that those after it may start (§2.3). */
export type Readiness =
  | { readonly kind: 'started' }
  | { readonly kind: 'notify'; readonly withinMs: number }
  | { readonly kind: 'port'; readonly port: number; readonly withinMs: number }
  | { readonly kind: 'file'; readonly path: string; readonly withinMs: number }

export interface Service {
  readonly name: string
  /** Services that must be ready before it starts. */
  readonly after: readonly string[]
  readonly ready: Readiness
  /** Names of credentials that it gets in `$CREDENTIALS_DIRECTORY`. */
  readonly credentials: readonly string[]
}

/** Value of a register in the SHA-256 bank. */
export interface PlanRegister {
  readonly pcr: number
  /** 32 bytes, hex. */
  readonly value: string
}

/** A boot that hosts may open their secret and their shares in (§2.8). */
export interface PlanBoot {
  readonly name: string
  /** Ascending, each once; none of 16, 23 and the cap register. */
  readonly registers: readonly PlanRegister[]
  /** Undefined: all hosts. */
  readonly hosts: readonly HostId[] | undefined
}

/** Operators: so many of them sign plans and statements, and release one host (§2.4). */
export interface BreakGlass {
  /** m of n. */
  readonly needed: number
  readonly keys: readonly OperatorKey[]
}

export interface OperatorKey {
  readonly name: string
  /** P-256 public point, uncompressed, 65 bytes as hex. */
  readonly publicKey: string
  /** The key that shares in escrow are encrypted to: another point of P-256. */
  readonly escrow: string | undefined
}

/** What an operator writes and every host keeps (§2). */
export interface Plan {
  readonly fleet: string
  readonly mode: PlanMode
  readonly roster: Roster
  readonly policy: RecoveryPolicy
  /** The longest outage that the fleet is to come back from by itself, in milliseconds. */
  readonly longestOutageMs: number
  readonly services: readonly Service[]
  readonly breakGlass: BreakGlass
  /** Approved boots; none until hosts were provisioned. */
  readonly boots: readonly PlanBoot[]
  /** The register that is extended when a half was opened, with its value before. */
  readonly cap: PlanRegister
  /** Who approves the boots in which shares are read: P-256 public point, uncompressed, hex. */
  readonly approver: string | undefined
  /** Whose images are taken: points of P-256 likewise. */
  readonly imageSigners: readonly string[]
}

/** A share of a host's quorum half as its witness keeps it (§3). */
export interface Share {
  /** Whose secret it is part of. */
  readonly host: HostId
  /** Shares of two epochs never combine (§7). */
  readonly epoch: number
  /** Position of the witness in the host's list of witnesses, 0 to N-1. */
  readonly index: number
  readonly bytes: Uint8Array
  /** `H("reprise/share/v1" 0 host epoch index bytes)`; the plan has it. */
  readonly digest: Uint8Array
}

/** What an asking host wants of a witness (§5.2). */
export interface ReleaseRequest {
  readonly host: HostId
  readonly epoch: number
  /** Position of the witness that is asked. */
  readonly index: number
  readonly rosterVersion: number
  /** Fresh for each boot of the asking host; shares of two attempts are told apart by it. */
  readonly attempt: string
  readonly prior: PriorShutdown
}

/** Where a fact comes from; `peer` is what another host saw. */
export type FactSource = 'tpm' | 'marker' | 'kernel' | 'journal' | 'wtmp' | 'pstore' | 'file-system' | 'peer'

/** One thing that is known of a host, by whom, and whether a key vouches for it. */
export interface Fact<T> {
  /** Undefined: it could not be found out. */
  readonly value: T | undefined
  readonly source: FactSource
  /** By the host's TPM, or by a key that its TPM holds. */
  readonly signed: boolean
}

/** How a host went down and came back, as it says itself (§4.1). Only `tpm` facts count in the gate; the others move odds. */
export interface PriorShutdown {
  /** TPM2_Shutdown came before the last loss of power (`TPM_PT_STARTUP_CLEAR`, audited). */
  readonly orderly: Fact<boolean>
  /** resetCount now, less that of the last signed heartbeat. */
  readonly resetIncrease: Fact<number>
  /** restartCount now, less that of the last signed heartbeat. */
  readonly restartIncrease: Fact<number>
  /** Milliseconds that the TPM was powered since the last signed heartbeat. */
  readonly poweredMs: Fact<number>
  /** The clean-shutdown marker is there and its signature is of this power cycle's end. */
  readonly cleanMarker: Fact<boolean>
  readonly bootId: Fact<string>
  /** The journal's tail has the shutdown target. */
  readonly journalShutdown: Fact<boolean>
  /** wtmp ends with a shutdown record. */
  readonly wtmpShutdown: Fact<boolean>
  /** pstore holds a crash of the kernel. */
  readonly kernelCrash: Fact<boolean>
  /** The file systems were unmounted cleanly. */
  readonly fileSystemClean: Fact<boolean>
}
