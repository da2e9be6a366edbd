//! How a batch lies on disk: sealed sectors.
//!
//! What is written with one sync is a **batch**. It is cut into sectors of 512 bytes, the unit a disk writes whole or not at all,
//! and each is sealed by a checksum of its own:
//!
//! ```text
//! 0     4      6      7      8       16       20        24                                  512
//! | crc | used | last | zero | batch | sector | segment | payload, the rest filled with 0   |
//! ```
//!
//! `batch` counts through all segments, `sector` within the batch. The file is zero-filled and synced beforehand. So each sector is
//! either whole, or zero (never written, or its write was lost with the power), or damaged; a tear can only make it zero, and a bit
//! flip can only make it damaged. That tells both apart even in the very last batch, where no later one proves that it was synced
//! (docs/decisions/0001-log-damage.md).

use knarr_base::disk::SECTOR_BYTES;

/// Bytes of a sector before its payload.
pub(crate) const HEADER_BYTES: usize = 24;
/// Bytes of payload in a sector: the overhead is 4.7 %.
pub(crate) const PAYLOAD_BYTES: usize = SECTOR_BYTES - HEADER_BYTES;

/// What a sector turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sector {
    Zero,
    Whole { batch: u64, sector: u32, last: bool, used: usize },
    Damaged,
}

/// Sectors that `payload_bytes` take; an empty batch takes one.
pub(crate) fn count(payload_bytes: usize) -> usize {
    payload_bytes.div_ceil(PAYLOAD_BYTES).max(1)
}

/// The sectors of a batch.
pub(crate) fn seal(payload: &[u8], batch: u64, segment: u32) -> Vec<u8> {
    let sectors = count(payload.len());
    let mut out = vec![0; sectors * SECTOR_BYTES];
    for (number, sector) in out.chunks_exact_mut(SECTOR_BYTES).enumerate() {
        let part =
            &payload[(number * PAYLOAD_BYTES).min(payload.len())..((number + 1) * PAYLOAD_BYTES).min(payload.len())];
        sector[4..6].copy_from_slice(&(part.len() as u16).to_le_bytes());
        sector[6] = u8::from(number + 1 == sectors);
        sector[8..16].copy_from_slice(&batch.to_le_bytes());
        sector[16..20].copy_from_slice(&(number as u32).to_le_bytes());
        sector[20..24].copy_from_slice(&segment.to_le_bytes());
        sector[HEADER_BYTES..HEADER_BYTES + part.len()].copy_from_slice(part);
        let crc = crc32fast::hash(&sector[4..]);
        sector[..4].copy_from_slice(&crc.to_le_bytes());
    }
    out
}

/// Looks at one sector of the segment numbered `segment`.
pub(crate) fn inspect(sector: &[u8], segment: u32) -> Sector {
    if sector.len() < SECTOR_BYTES {
        return Sector::Damaged;
    }
    if sector.iter().all(|byte| *byte == 0) {
        return Sector::Zero;
    }
    let word = |at: usize| u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]);
    let used = usize::from(u16::from_le_bytes([sector[4], sector[5]]));
    if word(0) != crc32fast::hash(&sector[4..SECTOR_BYTES]) || word(20) != segment || used > PAYLOAD_BYTES {
        return Sector::Damaged;
    }
    Sector::Whole {
        batch: u64::from(word(8)) | u64::from(word(12)) << 32,
        sector: word(16),
        last: sector[6] == 1,
        used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_damage_and_never_zero_or_whole() {
        let sealed = seal(b"some payload", 7, 3);
        assert_eq!(inspect(&sealed, 3), Sector::Whole { batch: 7, sector: 0, last: true, used: 12 });
        assert_eq!(inspect(&sealed, 4), Sector::Damaged, "a sector of another segment");
        for bit in 0..SECTOR_BYTES * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(inspect(&flipped, 3), Sector::Damaged, "bit {bit}");
        }
        let mut zero = vec![0; SECTOR_BYTES];
        assert_eq!(inspect(&zero, 3), Sector::Zero);
        zero[100] = 4;
        assert_eq!(inspect(&zero, 3), Sector::Damaged);
    }
}
