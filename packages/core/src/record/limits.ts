/** The limits of computation and record, beside nothing else so that one look shows them all. Format: spec/computation.md §4, spec/record.md §1.4, §8. */

const MiB = 1 << 20

export const ARGUMENTS_MAX = 65_536
export const ENVIRONMENT_MAX = 65_536
/** One argument, environment name or value, in bytes of UTF-8. */
export const ARGUMENT_BYTES_MAX = 131_072
export const MOUNTS_MAX = 64
/** Input files of all mounts together; also the outputs of one run. */
export const FILES_MAX = 60_000
/** A path inside a mount, or of a mount, in bytes of UTF-8. */
export const PATH_BYTES_MAX = 4096
export const CRITERIA_MAX = 1024
/** Names and versions: of a semantics, a trap, a CPU, in bytes of UTF-8. */
export const LABEL_BYTES_MAX = 256
export const MEMORY_PAGES_MAX = 65_536
export const STACK_SLOTS_MAX = 1 << 28
export const STRIDE_MAX = 1 << 20
export const ATTEMPTS_MAX = 4096
export const FOLLOWS_MAX = 1024

export const RECORD_JSON_BYTES_MAX = 16 * MiB
export const CRATE_BYTES_MAX = 64 * MiB
export const CHECKPOINTS_BYTES_MAX = 2048 * MiB
export const ATTESTATIONS_BYTES_MAX = 1024 * MiB
export const SNAPSHOTS_BYTES_MAX = 16 * MiB
export const EVIDENCE_BYTES_MAX = 16 * MiB
/** A log of a host; a list of IMA that is larger is left out. */
export const LOG_BYTES_MAX = 16 * MiB
/** Certificates of one host: the attestation key's and its issuers, without the root. */
export const HOST_CERTIFICATES_MAX = 4
/** A line of checkpoints.jsonl, snapshots.jsonl or attestations.jsonl. */
export const LINE_BYTES_MAX = 65_536
/** Runs in one batch. */
export const BATCH_COUNT_MAX = 65_536
/** The longest inclusion path in a batch. */
export const BATCH_PATH_MAX = 16

export const MANIFEST_BYTES_MAX = 64 * MiB
export const PACK_BYTES_MAX = 64 * MiB
export const PACKS_MAX = 65_536
/** As many as the largest memory has pages of 4 KiB. */
export const PAGE_RUNS_MAX = MEMORY_PAGES_MAX * 16
export const GLOBALS_MAX = 1_000_000
/** File contents in one snapshot. */
export const CONTENTS_MAX = 1 << 19
