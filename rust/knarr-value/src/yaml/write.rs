//! The writing half: what go-yaml v2's encoder and emitter make of plain JSON values.

use super::read::resolve;
use crate::Value;
use std::cmp::Ordering;

/// The emitter's best width.
const WIDTH: usize = 80;

pub(super) fn document(value: &Value, out: &mut String) {
    match value {
        Value::Map(m) if !m.is_empty() => map(m, 0, out),
        Value::List(l) if !l.is_empty() => list(l, 0, out),
        other => {
            scalar(other, 2, out);
            out.push('\n');
        }
    }
}

fn pad(out: &mut String, n: usize) {
    out.extend(std::iter::repeat_n(' ', n));
}

/// Entries at a column; the cursor stands there already (after `- ` or at the line's start, which is padded here).
fn map(m: &crate::Map, column: usize, out: &mut String) {
    let mut entries: Vec<_> = m.iter().collect();
    entries.sort_by(|a, b| natural(a.0, b.0));
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 || out.is_empty() || out.ends_with('\n') {
            pad(out, column);
        }
        text(key, column, true, out);
        out.push(':');
        match value {
            Value::Map(inner) if !inner.is_empty() => {
                out.push('\n');
                map(inner, column + 2, out);
            }
            // Lists stand at their key's column.
            Value::List(items) if !items.is_empty() => {
                out.push('\n');
                list(items, column, out);
            }
            other => {
                out.push(' ');
                scalar(other, column + 2, out);
                out.push('\n');
            }
        }
    }
}

fn list(items: &[Value], column: usize, out: &mut String) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 || out.is_empty() || out.ends_with('\n') {
            pad(out, column);
        }
        out.push_str("- ");
        match item {
            Value::Map(inner) if !inner.is_empty() => map(inner, column + 2, out),
            Value::List(inner) if !inner.is_empty() => list(inner, column + 2, out),
            other => {
                scalar(other, column + 2, out);
                out.push('\n');
            }
        }
    }
}

fn scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Str(s) => text(s, indent, false, out),
        Value::Map(_) => out.push_str("{}"),
        Value::List(_) => out.push_str("[]"),
        Value::Float(f) => out.push_str(&float(*f)),
        other => out.push_str(&other.to_string()),
    }
}

/// strconv.FormatFloat(f, 'g', -1, 64).
fn float(f: f64) -> String {
    let shown = format!("{f:e}");
    let Some((mantissa, exponent)) = shown.split_once('e') else { return shown };
    match exponent.parse::<i32>() {
        Ok(e) if !(-4..6).contains(&e) => format!("{mantissa}e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs()),
        _ => format!("{f}"),
    }
}

/// go-yaml's order of keys: letters after digits and signs, runs of digits by their number.
fn natural(a: &str, b: &str) -> Ordering {
    let (ar, br): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for i in 0..ar.len().min(br.len()) {
        if ar[i] == br[i] {
            continue;
        }
        let (al, bl) = (ar[i].is_alphabetic(), br[i].is_alphabetic());
        if al && bl {
            return ar[i].cmp(&br[i]);
        }
        if al || bl {
            return if bl { Ordering::Less } else { Ordering::Greater };
        }
        let (mut an, mut bn) = (0i64, 0i64);
        if ar[i] == '0' || br[i] == '0' {
            let before = ar[..i].iter().rev().take_while(|c| c.is_ascii_digit());
            if before.into_iter().any(|c| *c != '0') {
                (an, bn) = (1, 1);
            }
        }
        let run = |r: &[char], n: &mut i64| {
            let digits = r[i..].iter().map_while(|c| c.to_digit(10));
            let mut count = 0;
            for d in digits {
                *n = n.wrapping_mul(10).wrapping_add(i64::from(d));
                count += 1;
            }
            count
        };
        let (ai, bi): (i32, i32) = (run(&ar, &mut an), run(&br, &mut bn));
        return an.cmp(&bn).then(ai.cmp(&bi)).then(ar[i].cmp(&br[i]));
    }
    ar.len().cmp(&br.len())
}

/// Go-yaml's `[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?`: what older readers take for a number.
fn base60(s: &str) -> bool {
    let s = s.strip_prefix(['+', '-']).unwrap_or(s);
    let mut parts = s.split(':');
    let first = parts.next().unwrap_or("");
    let head =
        first.starts_with(|c: char| c.is_ascii_digit()) && first.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let rest: Vec<&str> = parts.collect();
    let sixty = |p: &str| match p.as_bytes() {
        [d] => d.is_ascii_digit(),
        [t, d] => (b'0'..=b'5').contains(t) && d.is_ascii_digit(),
        _ => false,
    };
    let Some((last, middle)) = rest.split_last() else { return false };
    let (whole, fraction) = last.split_once('.').unwrap_or((last, ""));
    head && middle.iter().all(|p| sixty(p)) && sixty(whole) && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// A date, as go-yaml quotes it on the way out.
fn timestamp(s: &str) -> bool {
    let b = s.as_bytes();
    if b.len() < 8 || !b[..4].iter().all(u8::is_ascii_digit) || b[4] != b'-' {
        return false;
    }
    let part = |s: &str| matches!(s.len(), 1 | 2) && s.bytes().all(|b| b.is_ascii_digit());
    let (date, time) = match s.find(['T', 't', ' ']) {
        Some(at) => (&s[..at], Some((s.as_bytes()[at], &s[at + 1..]))),
        None => (s, None),
    };
    let date: Vec<&str> = date.split('-').collect();
    if date.len() != 3 || !part(date[1]) || !part(date[2]) {
        return false;
    }
    let Some((separator, time)) = time else { return true };
    // With T a zone is wanted, with a space none is allowed.
    let zone = time.find(['Z', '+', '-']);
    let clock = &time[..zone.unwrap_or(time.len())];
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let clock: Vec<&str> = clock.split(':').collect();
    let digits = fraction.bytes().all(|b| b.is_ascii_digit()) && !fraction.is_empty();
    clock.len() == 3 && clock.iter().all(|p| part(p)) && digits && (separator == b' ') == zone.is_none()
}

/// What go-yaml's emitter takes for printable: nothing beyond the basic plane, no tab.
fn printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// What a text may be written as: (plain, single quoted, literal), the emitter's analysis for block context.
fn analyse(s: &str) -> (bool, bool, bool) {
    let chars: Vec<char> = s.chars().collect();
    let mut plain = !(s.is_empty() || s.starts_with("---") || s.starts_with("..."));
    let (mut single, mut literal) = (true, true);
    let mut after_blank = true;
    for (i, &c) in chars.iter().enumerate() {
        let before_blank = chars.get(i + 1).is_none_or(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
        let indicator = match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
                if i == 0 =>
            {
                true
            }
            '?' | ':' | '-' if i == 0 => before_blank,
            ':' => before_blank,
            '#' => after_blank,
            _ => false,
        };
        plain &= !indicator;
        if c == '\n' {
            plain = false;
            // A break after or before blanks cannot be kept in single quotes, one after a blank not in a literal either.
            single &= !(i > 0 && chars[i - 1] == ' ') && chars.get(i + 1) != Some(&' ');
            literal &= !(i > 0 && chars[i - 1] == ' ');
        } else if !printable(c) {
            (plain, single, literal) = (false, false, false);
        }
        after_blank = matches!(c, ' ' | '\t' | '\n' | '\r');
    }
    if s.starts_with([' ', '\n']) || s.ends_with([' ', '\n']) {
        plain = false;
    }
    if s.ends_with(' ') {
        literal = false;
    }
    (plain, single, literal)
}

fn text(s: &str, indent: usize, key: bool, out: &mut String) {
    let (plain, single, literal) = analyse(s);
    let known = !matches!(resolve(s), Ok(Value::Str(_))) || s == "<<" || base60(s) || timestamp(s);
    if s.contains('\n') {
        if literal && !key { literal_block(s, indent, out) } else { double(s, indent, key, out) }
    } else if known {
        double(s, indent, key, out);
    } else if plain {
        folded(s, indent, key, false, out);
    } else if single {
        out.push('\'');
        folded(&s.replace('\'', "''"), indent, key, true, out);
        out.push('\'');
    } else {
        double(s, indent, key, out);
    }
}

fn column(out: &str) -> usize {
    out.rsplit('\n').next().map_or(0, |line| line.chars().count())
}

/// Write a text of one line, broken at single blanks once the line is full.
fn folded(s: &str, indent: usize, key: bool, quoted: bool, out: &mut String) {
    let mut at = column(out);
    let mut last = '\n';
    let mut chars = s.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        let inside = !quoted || (i > 0 && next.is_some());
        if c == ' ' && !key && last != ' ' && at > WIDTH && inside && next != Some(' ') {
            out.push('\n');
            pad(out, indent);
            at = indent;
        } else {
            out.push(c);
            at += 1;
        }
        last = c;
    }
}

fn literal_block(s: &str, indent: usize, out: &mut String) {
    out.push('|');
    if s.starts_with([' ', '\n']) {
        out.push('2');
    }
    if !s.ends_with('\n') {
        out.push('-');
    } else if s == "\n" || s.ends_with("\n\n") {
        out.push('+');
    }
    for line in s.strip_suffix('\n').unwrap_or(s).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
}

fn double(s: &str, indent: usize, key: bool, out: &mut String) {
    out.push('"');
    let mut at = column(out);
    let chars: Vec<char> = s.chars().collect();
    let mut blank = false;
    for (i, &c) in chars.iter().enumerate() {
        let before = out.len();
        match c {
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            ' ' if !key && !blank && at > WIDTH && i > 0 && i + 1 < chars.len() => {
                out.push('\n');
                pad(out, indent);
                if chars[i + 1] == ' ' {
                    out.push('\\');
                }
                at = indent;
                blank = true;
                continue;
            }
            c if printable(c) => out.push(c),
            c if (c as u32) < 0x100 => out.push_str(&format!("\\x{:02X}", c as u32)),
            c if (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push_str(&format!("\\U{:08X}", c as u32)),
        }
        blank = c == ' ';
        at += out[before..].chars().count();
    }
    out.push('"');
}
