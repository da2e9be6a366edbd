//! The gateway's own log: one line an event on standard error, a constant message with fields.

use std::fmt::Write as _;
use std::io::Write as _;

/// Writes `level=... msg="..." key="value"`. Never given secrets: callers pass names, addresses, codes and error texts only.
pub fn line(level: &str, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
    let mut text = format!("level={level} part=gateway msg={message:?}");
    for (key, value) in fields {
        // Writing to a String cannot fail.
        let _ = write!(text, " {key}={:?}", value.to_string());
    }
    text.push('\n');
    // A closed standard error leaves nowhere to complain to.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
