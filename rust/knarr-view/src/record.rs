//! One projected object.

use crate::pool::Atom;

/// An object's uid. The canonical form takes 16 bytes; owner references may hold any text, which is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Uid {
    Uuid([u8; 16]),
    Other(Box<str>),
}

impl Uid {
    pub fn new(text: &str) -> Self {
        Self::uuid(text.as_bytes()).map_or_else(|| Self::Other(text.into()), Self::Uuid)
    }

    /// 8-4-4-4-12 lower-case hexadecimal digits; anything else would not print as it was read.
    fn uuid(text: &[u8]) -> Option<[u8; 16]> {
        if text.len() != 36 {
            return None;
        }
        let mut bytes = [0_u8; 16];
        let mut nibbles = 0;
        for (i, &c) in text.iter().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                if c != b'-' {
                    return None;
                }
                continue;
            }
            let digit = match c {
                b'0'..=b'9' => c - b'0',
                b'a'..=b'f' => c - b'a' + 10,
                _ => return None,
            };
            bytes[nibbles / 2] |= digit << if nibbles % 2 == 0 { 4 } else { 0 };
            nibbles += 1;
        }
        Some(bytes)
    }
}

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
            Self::Uuid(bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    if matches!(i, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

/// What a view keeps of one object: identity, and one atom per declared field (0: absent or null).
#[derive(Debug)]
pub struct Record {
    pub uid: Uid,
    pub namespace: Atom,
    pub name: Box<str>,
    pub revision: u64,
    /// The first two are labels and owners, always; then the declared fields in order.
    pub slots: Box<[Atom]>,
    /// The list this was last named by; what a list does not name is gone.
    pub(crate) seen: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_read() {
        let uuid = "0b5e1c2d-aaaa-4fff-8000-00000000000a";
        assert!(matches!(Uid::new(uuid), Uid::Uuid(_)));
        for text in
            [uuid, "", "not-a-uuid", "0B5E1C2D-aaaa-4fff-8000-00000000000a", "0b5e1c2d-aaaa-4fff-8000-00000000000-"]
        {
            assert_eq!(Uid::new(text).to_string(), text);
        }
    }
}
