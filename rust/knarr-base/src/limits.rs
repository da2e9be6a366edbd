//! Every bound of the system, with its unit and its reason. Full is an ordinary answer, never a surprise.
//!
//! One place, so that the worst case of memory and time can be added up by reading one file. Simulations shrink the ones that are
//! given to a core as a value (`Options` of the crate concerned), so that rare paths become common.

/// Bytes of one transaction, encoded. etcd's `--max-request-bytes`, so that what fits there fits here and what does not is refused
/// with the same words.
pub const TXN_BYTES_MAX: usize = 1_572_864;
/// Operations of one transaction, each branch for itself: 1,024 (etcd's default is 128; namespaces are deleted in pages this size).
pub const TXN_OPS_MAX: usize = 1_024;
/// Bytes of proposals that wait for the Raft thread: a second of writing at full speed. Beyond it a writer waits for room.
pub const PROPOSAL_QUEUE_BYTES_MAX: usize = 64 << 20;
/// Bytes of one Raft entry: proposals are gathered into an entry up to here. 1 MiB is written in the time of a few syncs, so that
/// a full entry adds little latency to those that share it.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Bytes written before one sync: four full entries.
pub const SYNC_BYTES_MAX: usize = 4 << 20;
/// Bytes of one log segment; the file is preallocated, so this is also the least that a log occupies.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes of the very first log segment: a new store is not kept waiting for a large one to be filled with zeros (0.45 s for 64 MiB
/// on a slow disk, 0.03 s for this); the first large one is made beside the work.
pub const FIRST_SEGMENT_BYTES: u64 = 4 << 20;
/// Zero-filled files kept for the next segments; one is enough when filling it takes less time than a segment lasts.
pub const SPARE_SEGMENTS_MAX: usize = 1;
/// Bytes of applied entries kept in memory for members that lag; who lags more gets a snapshot.
pub const ENTRY_CACHE_BYTES_MAX: usize = 16 << 20;
/// The log must have grown by at least this many bytes before a snapshot is taken, however small the last one was: a small store
/// does not write snapshots all the time.
pub const SNAPSHOT_LOG_BYTES_MIN: u64 = 64 << 20;
/// Bytes of one page of a snapshot before compression: what is read under one lock, and checked as one piece.
pub const SNAPSHOT_PAGE_BYTES: usize = 256 << 10;
/// Keys that a walk reads under one lock. With a list's copying of 2 kB each, 128 take some 50 us, the longest that a writer waits
/// for a reader.
pub const RANGE_KEYS_PER_LOCK: usize = 128;
/// Seconds of history that reads at a revision and resumed watches can rely on (Kubernetes' `--etcd-compaction-interval`).
pub const HISTORY_SECONDS: u64 = 300;
/// Seconds between two looks at history, snapshots and leases.
pub const MAINTENANCE_SECONDS: u64 = 5;
/// Bytes of superseded versions, as held in memory, beyond which history is compacted before its time.
pub const HISTORY_BYTES_MAX: usize = 512 << 20;
/// Changes in history beyond which it is compacted before its time: each costs some 50 bytes beside its version.
pub const HISTORY_CHANGES_MAX: usize = 4 << 20;
/// Superseded versions of one key that are encoded each against the next; then one stands alone. Reading the oldest decodes at most
/// this many, some 5 us each.
pub const DELTA_CHAIN_MAX: usize = 16;
/// Bytes of all live records of a key space: beyond it only deletions are accepted. The index is held in memory.
pub const SPACE_BYTES_MAX: usize = 8 << 30;
/// Leases of the store at one time.
pub const STORE_LEASES_MAX: usize = 1 << 20;
/// Seconds between two comparisons of the state with its digest: a walk of 0.3 us a key, on a thread that nobody waits for.
pub const AUDIT_SECONDS: u64 = 300;
/// Seconds of the longest lease: etcd's bound.
pub const LEASE_SECONDS_MAX: i64 = 9_000_000_000;
/// Proposals of one member whose outcome it does not know yet.
pub const PROPOSALS_IN_FLIGHT_MAX: usize = 1 << 16;

/// Bytes of a request's body: kube-apiserver's own bound, so that what it takes is taken here, and refused with its words.
pub const REQUEST_BODY_BYTES_MAX: usize = 3 << 20;

/// Bytes of history that the ring of one resource keeps in the watch hub.
pub const WATCH_RING_BYTES_MAX: usize = 64 << 20;
/// Bytes of protobuf messages kept from list to list: some 40,000 pods.
pub const PROTOBUF_CACHE_BYTES_MAX: usize = 64 << 20;
/// Stored bytes of the objects that admission keeps parsed: some 10,000 Namespaces and ServiceAccounts.
pub const PARSED_READS_BYTES_MAX: usize = 4 << 20;
/// Bytes of lists that are kept as they were sent, of all kinds: some 60,000 pods. Beyond it lists are put together each time.
pub const LIST_PIECES_BYTES_MAX: usize = 128 << 20;
/// Seconds that a list is kept after it was asked for: what is asked for less often is put together each time.
pub const LIST_PIECES_SECONDS: u64 = 30;
/// Seconds after which a ring forgets; the store's own history goes back as far.
pub const WATCH_RING_AGE_SECONDS_MAX: u64 = 300;
/// Seconds between two bookmarks of a watcher (kube-apiserver's watch cache: about a minute).
pub const WATCH_BOOKMARK_SECONDS: u64 = 60;

/// Milliseconds of one tick of Raft.
pub const TICK_MS: u64 = 100;
/// Ticks without a leader before a member stands for election (it adds up to as many again at random).
pub const ELECTION_TICKS: usize = 10;
/// Ticks between heartbeats of a leader.
pub const HEARTBEAT_TICKS: usize = 1;
/// Bytes of entries in one message to another member.
pub const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// Messages to one member that may be under way.
pub const MESSAGES_IN_FLIGHT_MAX: usize = 256;
