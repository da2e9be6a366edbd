//! What a Raft entry means to the store: a batch of commands of one proposer, each with an id.
//!
//! An entry is `version, member, incarnation, floor, (sequence, length, command)*`. The proposer encodes each command on the
//! caller's thread ([`encode_command`]) and only concatenates on Raft's ([`Batch`]). An empty entry (Raft's own, at the start of a
//! term) is a batch of none.

use bytes::Bytes;
use knarr_base::limits::{LEASE_SECONDS_MAX, TXN_BYTES_MAX, TXN_OPS_MAX};
use knarr_base::{MemberId, Revision};

use crate::types::{Cmp, Compare, KeySpace, Op, StoreError, Txn};
use crate::wire::{Malformed, Reader, put_bytes, put_varint};

/// Version of the encoding; a batch of a newer one is refused, not guessed at.
const VERSION: u8 = 1;

/// One change of the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A transaction.
    Txn(Txn),
    /// Forget history up to and with a revision. Ignored if that is already so, cut to the current revision if beyond it.
    Compact { space: KeySpace, revision: Revision },
    /// Makes a lease of `seconds`, in [`KeySpace::Etcd`]'s or any space: keys of all spaces may be attached.
    LeaseGrant { lease: u64, seconds: i64 },
    /// Ends a lease: its keys are deleted, one revision a space.
    LeaseRevoke { lease: u64 },
}

/// Who proposed, and which proposal of theirs it is. Applied once, however often the proposal is repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId {
    /// The proposer.
    pub member: MemberId,
    /// One life of its process, greater than all before, so that a restarted proposer may begin at 1 again.
    pub incarnation: u64,
    /// Counts its proposals.
    pub sequence: u64,
}

/// Checks a command against the limits and encodes it.
///
/// Errors: [`StoreError::TooLarge`], [`StoreError::TooManyOps`], [`StoreError::LeaseTooLong`].
pub fn encode_command(command: &Command) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::new();
    match command {
        Command::Txn(txn) => {
            let ops = txn.compare.len().max(txn.then.len()).max(txn.otherwise.len());
            if ops > TXN_OPS_MAX {
                return Err(StoreError::TooManyOps { ops, ops_max: TXN_OPS_MAX });
            }
            let bytes: usize =
                txn.compare.iter().map(compare_bytes).chain(txn.then.iter().chain(&txn.otherwise).map(op_bytes)).sum();
            if bytes > TXN_BYTES_MAX {
                return Err(StoreError::TooLarge { bytes, bytes_max: TXN_BYTES_MAX });
            }
            out.reserve_exact(bytes + 16);
            out.push(0);
            encode_txn(&mut out, txn);
        }
        Command::Compact { space, revision } => {
            out.extend([1, space.number()]);
            put_varint(&mut out, revision.0);
        }
        Command::LeaseGrant { lease, seconds } => {
            if *seconds > LEASE_SECONDS_MAX || *seconds < 1 {
                return Err(StoreError::LeaseTooLong { seconds: *seconds });
            }
            out.push(2);
            put_varint(&mut out, *lease);
            put_varint(&mut out, seconds.unsigned_abs());
        }
        Command::LeaseRevoke { lease } => {
            out.push(3);
            put_varint(&mut out, *lease);
        }
    }
    Ok(out)
}

fn op_bytes(op: &Op) -> usize {
    match op {
        Op::Put { key, value, .. } => key.len() + value.len() + 18,
        Op::Delete { from, to } | Op::Range { from, to, .. } => from.len() + to.as_ref().map_or(0, Bytes::len) + 18,
    }
}

fn compare_bytes(compare: &Compare) -> usize {
    let (Compare::ModRevision { key, .. }
    | Compare::CreateRevision { key, .. }
    | Compare::Version { key, .. }
    | Compare::Value { key, .. }
    | Compare::Lease { key, .. }) = compare;
    let value = if let Compare::Value { value, .. } = compare { value.len() } else { 0 };
    key.len() + value + 16
}

fn encode_txn(out: &mut Vec<u8>, txn: &Txn) {
    out.push(txn.space.number());
    put_varint(out, txn.compare.len() as u64);
    for compare in &txn.compare {
        let (kind, key, op, number) = match compare {
            Compare::ModRevision { key, op, revision } => (0, key, op, revision.0),
            Compare::CreateRevision { key, op, revision } => (1, key, op, revision.0),
            Compare::Version { key, op, version } => (2, key, op, *version),
            Compare::Value { key, op, .. } => (3, key, op, 0),
            Compare::Lease { key, op, lease } => (4, key, op, *lease),
        };
        out.extend([kind, cmp_number(*op)]);
        put_bytes(out, key);
        if let Compare::Value { value, .. } = compare {
            put_bytes(out, value);
        } else {
            put_varint(out, number);
        }
    }
    for ops in [&txn.then, &txn.otherwise] {
        put_varint(out, ops.len() as u64);
        for op in ops {
            encode_op(out, op);
        }
    }
}

fn encode_op(out: &mut Vec<u8>, op: &Op) {
    let end = |out: &mut Vec<u8>, kind: u8, from: &Bytes, to: &Option<Bytes>| {
        out.extend([kind, u8::from(to.is_some())]);
        put_bytes(out, from);
        if let Some(to) = to {
            put_bytes(out, to);
        }
    };
    match op {
        Op::Put { key, value, lease } => {
            out.push(0);
            put_bytes(out, key);
            put_bytes(out, value);
            put_varint(out, *lease);
        }
        Op::Delete { from, to } => end(out, 1, from, to),
        Op::Range { from, to, limit } => {
            end(out, 2, from, to);
            put_varint(out, *limit as u64);
        }
    }
}

fn cmp_number(cmp: Cmp) -> u8 {
    match cmp {
        Cmp::Equal => 0,
        Cmp::Greater => 1,
        Cmp::Less => 2,
        Cmp::NotEqual => 3,
    }
}

fn decode_command(bytes: Bytes) -> Result<Command, Malformed> {
    let mut reader = Reader::new(bytes);
    let command = match reader.byte()? {
        0 => Command::Txn(decode_txn(&mut reader)?),
        1 => {
            let space = KeySpace::from_number(reader.byte()?).ok_or(Malformed("key space"))?;
            Command::Compact { space, revision: Revision(reader.varint()?) }
        }
        2 => {
            let lease = reader.varint()?;
            Command::LeaseGrant {
                lease,
                seconds: i64::try_from(reader.varint()?).map_err(|_| Malformed("lease time"))?,
            }
        }
        3 => Command::LeaseRevoke { lease: reader.varint()? },
        _ => return Err(Malformed("command")),
    };
    if reader.is_empty() { Ok(command) } else { Err(Malformed("command: bytes left over")) }
}

fn decode_txn(reader: &mut Reader) -> Result<Txn, Malformed> {
    let space = KeySpace::from_number(reader.byte()?).ok_or(Malformed("key space"))?;
    let count = reader.count()?;
    let mut compare = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = reader.byte()?;
        let op = match reader.byte()? {
            0 => Cmp::Equal,
            1 => Cmp::Greater,
            2 => Cmp::Less,
            3 => Cmp::NotEqual,
            _ => return Err(Malformed("comparison")),
        };
        let key = reader.bytes()?;
        compare.push(match kind {
            0 => Compare::ModRevision { key, op, revision: Revision(reader.varint()?) },
            1 => Compare::CreateRevision { key, op, revision: Revision(reader.varint()?) },
            2 => Compare::Version { key, op, version: reader.varint()? },
            3 => Compare::Value { key, op, value: reader.bytes()? },
            4 => Compare::Lease { key, op, lease: reader.varint()? },
            _ => return Err(Malformed("comparison")),
        });
    }
    Ok(Txn { space, compare, then: decode_ops(reader)?, otherwise: decode_ops(reader)? })
}

fn decode_ops(reader: &mut Reader) -> Result<Vec<Op>, Malformed> {
    let count = reader.count()?;
    let mut ops = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = reader.byte()?;
        ops.push(if kind == 0 {
            Op::Put { key: reader.bytes()?, value: reader.bytes()?, lease: reader.varint()? }
        } else {
            let open = reader.byte()?;
            let from = reader.bytes()?;
            let to = if open == 0 { None } else { Some(reader.bytes()?) };
            match kind {
                1 => Op::Delete { from, to },
                2 => Op::Range { from, to, limit: usize::try_from(reader.varint()?).map_err(|_| Malformed("limit"))? },
                _ => return Err(Malformed("operation")),
            }
        });
    }
    Ok(ops)
}

/// Gathers encoded commands of one proposer into the data of one entry.
#[derive(Debug)]
pub struct Batch {
    data: Vec<u8>,
    count: usize,
}

impl Batch {
    /// An empty batch. `floor`: the proposer knows the outcome of all its proposals below it, so they need not be remembered.
    #[must_use]
    pub fn new(member: MemberId, incarnation: u64, floor: u64) -> Self {
        let mut data = vec![VERSION];
        put_varint(&mut data, member.0);
        put_varint(&mut data, incarnation);
        put_varint(&mut data, floor);
        Self { data, count: 0 }
    }

    /// Appends a command that [`encode_command`] made.
    pub fn push(&mut self, sequence: u64, command: &[u8]) {
        put_varint(&mut self.data, sequence);
        put_bytes(&mut self.data, command);
        self.count += 1;
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether no command is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entry's data.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }
}

/// A batch as it comes out of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub member: MemberId,
    pub incarnation: u64,
    pub floor: u64,
    pub commands: Vec<(u64, Command)>,
}

/// Decodes the data of an entry, all of it before any is applied: a malformed entry changes nothing.
pub(crate) fn decode_batch(data: Bytes) -> Result<Decoded, Malformed> {
    let mut reader = Reader::new(data);
    if reader.byte()? != VERSION {
        return Err(Malformed("entry: unknown version"));
    }
    let (member, incarnation, floor) = (MemberId(reader.varint()?), reader.varint()?, reader.varint()?);
    let mut commands = Vec::new();
    while !reader.is_empty() {
        let sequence = reader.varint()?;
        commands.push((sequence, decode_command(reader.bytes()?)?));
    }
    Ok(Decoded { member, incarnation, floor, commands })
}
