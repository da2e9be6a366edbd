//! The writing half.

use crate::Value;

/// What a byte below 0x80 is escaped to: 0 = itself, b'u' = \u00xx, other = backslash and that letter.
const ESCAPE: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut i = 0;
    while i < 0x20 {
        table[i] = b'u';
        i += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[0x08] = b'b';
    table[0x0c] = b'f';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'<' as usize] = b'u';
    table[b'>' as usize] = b'u';
    table[b'&' as usize] = b'u';
    table[0xe2] = b'2'; // may begin U+2028 or U+2029 (e2 80 a8, e2 80 a9): looked at closer
    table
};
const HEX: &[u8; 16] = b"0123456789abcdef";

pub(super) fn value(v: &Value, out: &mut Vec<u8>) {
    match v {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(i) => integer(*i, out),
        Value::Float(f) => float(*f, out),
        Value::Str(s) => string(s, out),
        Value::List(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                value(item, out);
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                string(key, out);
                out.push(b':');
                value(item, out);
            }
            out.push(b'}');
        }
    }
}

pub(super) fn pretty(v: &Value, indent: usize, level: usize, out: &mut Vec<u8>) {
    fn line(out: &mut Vec<u8>, spaces: usize) {
        out.push(b'\n');
        out.resize(out.len() + spaces, b' ');
    }
    match v {
        Value::List(items) if !items.is_empty() => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                line(out, indent * (level + 1));
                pretty(item, indent, level + 1, out);
            }
            line(out, indent * level);
            out.push(b']');
        }
        Value::Map(map) if !map.is_empty() => {
            out.push(b'{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                line(out, indent * (level + 1));
                string(key, out);
                out.extend_from_slice(b": ");
                pretty(item, indent, level + 1, out);
            }
            line(out, indent * level);
            out.push(b'}');
        }
        other => value(other, out),
    }
}

pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut from = 0;
    for (i, &b) in bytes.iter().enumerate() {
        let escape = ESCAPE[b as usize];
        if escape == 0 {
            continue;
        }
        if escape == b'2' {
            let Some(last @ (0xa8 | 0xa9)) = bytes.get(i + 2).copied().filter(|_| bytes[i + 1] == 0x80) else {
                continue;
            };
            out.extend_from_slice(&bytes[from..i]);
            out.extend_from_slice(if last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            from = i + 3;
            continue;
        }
        out.extend_from_slice(&bytes[from..i]);
        from = i + 1;
        if escape == b'u' {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[(b >> 4) as usize], HEX[(b & 15) as usize]]);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

fn integer(i: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = i.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if i < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// encoding/json's floatEncoder: shortest digits; exponent form below 1e-6 and from 1e21 on, with the exponent's leading 0 removed.
pub(super) fn float(f: f64, out: &mut Vec<u8>) {
    use std::io::Write;
    if !f.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    let magnitude = f.abs();
    let outcome = if magnitude != 0.0 && magnitude < 1e-6 {
        write!(out, "{f:e}")
    } else if magnitude >= 1e21 {
        // Go writes the sign of a positive exponent, Rust does not.
        let text = format!("{f:e}");
        write!(out, "{}", text.replace('e', "e+"))
    } else {
        write!(out, "{f}")
    };
    debug_assert!(outcome.is_ok(), "writing to a Vec cannot fail");
}
