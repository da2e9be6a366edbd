//! Walking JSON text without building values: what is not wanted is stepped over, not parsed.
//!
//! The text comes from an API server and is well formed; the scanner finds structure, and fails with an offset where there is
//! none. It does not verify what it skips (numbers' digits, escapes inside skipped strings).

use std::borrow::Cow;

use crate::Error;

/// A place in JSON text.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Cursor<'t> {
    pub fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes from the beginning of the text.
    pub fn offset(&self) -> usize {
        self.at
    }

    fn fail<T>(&self, why: &'static str) -> Result<T, Error> {
        Err(Error::Json { offset: self.at, why })
    }

    /// The next byte that is not white space, not taken; 0 at the end.
    pub fn peek(&mut self) -> u8 {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, byte: u8, why: &'static str) -> Result<(), Error> {
        if self.peek() != byte {
            return self.fail(why);
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over one string, cursor at its quote. Returns the raw text between the quotes.
    fn string(&mut self) -> Result<&'t [u8], Error> {
        self.take(b'"', "a string was expected")?;
        let start = self.at;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return self.fail("a string does not end"),
            }
        }
        self.at += 1;
        Ok(&self.text[start..self.at - 1])
    }

    /// Steps over one value and returns its range in the text.
    pub fn skip(&mut self) -> Result<std::ops::Range<usize>, Error> {
        let first = self.peek();
        let start = self.at;
        match first {
            b'"' => {
                self.string()?;
            }
            b'{' | b'[' => {
                let mut depth = 0_usize;
                loop {
                    match self.text.get(self.at) {
                        Some(b'"') => {
                            self.string()?;
                            continue;
                        }
                        Some(b'{' | b'[') => depth += 1,
                        Some(b'}' | b']') => depth -= 1,
                        Some(_) => {}
                        None => return self.fail("a list or an object does not end"),
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                while let Some(b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E') = self.text.get(self.at) {
                    self.at += 1;
                }
            }
            _ => return self.fail("a value was expected"),
        }
        Ok(start..self.at)
    }

    /// Calls `each(key, cursor at the value)` for every member; `each` must step over the value.
    pub fn members(&mut self, mut each: impl FnMut(&[u8], &mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.take(b'{', "an object was expected")?;
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.peek();
            let key = self.string()?;
            self.take(b':', "a colon was expected")?;
            each(key, self)?;
            match self.peek() {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fail("an object does not end"),
            }
        }
    }

    /// Calls `each(cursor at the element)` for every element; `each` must step over it.
    pub fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.take(b'[', "a list was expected")?;
        if self.peek() == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self)?;
            match self.peek() {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fail("a list does not end"),
            }
        }
    }
}

/// The text of a JSON string given with its quotes; anything else as it stands (a number, `true`).
pub fn text_of(raw: &[u8]) -> Cow<'_, str> {
    match raw {
        [b'"', inner @ .., b'"'] => unescape(inner),
        _ => String::from_utf8_lossy(raw),
    }
}

/// What stands between the quotes of a JSON string, escapes resolved; a broken escape or surrogate becomes U+FFFD.
pub fn unescape(inner: &[u8]) -> Cow<'_, str> {
    if !inner.contains(&b'\\') {
        return String::from_utf8_lossy(inner);
    }
    let text = String::from_utf8_lossy(inner);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(found) = rest.find('\\') {
        out.push_str(&rest[..found]);
        rest = &rest[found + 1..];
        let mut chars = rest.chars();
        let escape = chars.next();
        rest = chars.as_str();
        match escape {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let unit = hex4(&mut rest);
                let code = match unit {
                    Some(high @ 0xd800..=0xdbff) if rest.starts_with("\\u") => {
                        let mut after = &rest[2..];
                        match hex4(&mut after) {
                            Some(low @ 0xdc00..=0xdfff) => {
                                rest = after;
                                Some(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                            }
                            _ => None,
                        }
                    }
                    other => other,
                };
                out.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn hex4(rest: &mut &str) -> Option<u32> {
    let code = u32::from_str_radix(rest.get(..4)?, 16).ok()?;
    *rest = &rest[4..];
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_whole_values_whatever_they_hold() {
        for value in [r#""a\"}]b""#, "-1.5e+3", "true", "null", r#"{"a":[{"b":"]"},[]],"c":{}}"#, "[]", "{}"] {
            let text = format!(" {value} ,");
            let range = Cursor::new(text.as_bytes()).skip().expect(value);
            assert_eq!(&text[range], value);
        }
    }

    #[test]
    fn says_where_text_breaks_off() {
        for text in ["", "{", "[1,", r#""abc"#, r#"{"a":"#, r#""\"#, "}"] {
            assert!(matches!(Cursor::new(text.as_bytes()).skip(), Err(Error::Json { .. })), "{text}");
        }
    }

    #[test]
    fn resolves_escapes() {
        assert_eq!(text_of(br#""a\n\"\u00e9\ud83d\ude00\/\\""#), "a\n\"\u{e9}\u{1f600}/\\");
        assert_eq!(text_of(br#""\ud83d x""#), "\u{fffd} x");
        assert_eq!(text_of(b"12"), "12");
    }
}
