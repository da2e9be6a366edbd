//! What ends an exec: the Status on the error channel of protocol v4 and later.
//!
//! Exit code 0 is `{"metadata":{},"status":"Success"}`; another code is a Failure of reason `NonZeroExitCode` whose one cause of
//! reason `ExitCode` carries the number as text; anything else is an InternalError. Source: apimachinery
//! `pkg/util/remotecommand/constants.go` and kubelet's `remotecommand/exec.go`.

/// Streams a client can ask for in its query (`stdin=true&stdout=1&tty=...`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

impl Streams {
    /// The header `streamtype` of each SPDY stream in the order that servers expect them.
    pub fn types(self) -> Vec<(&'static str, u8)> {
        use crate::channel::{ERROR, RESIZE, STDERR, STDIN, STDOUT};
        let mut types = vec![("error", ERROR)];
        if self.stdin {
            types.push(("stdin", STDIN));
        }
        if self.stdout {
            types.push(("stdout", STDOUT));
        }
        // With a terminal there is one output: a kubelet waits for no stderr stream then.
        if self.stderr && !self.tty {
            types.push(("stderr", STDERR));
        }
        if self.tty {
            types.push(("resize", RESIZE));
        }
        types
    }
}

/// The Status that reports a command's exit code.
pub fn exit_status(code: i32) -> String {
    if code == 0 {
        return r#"{"metadata":{},"status":"Success"}"#.to_owned();
    }
    format!(
        r#"{{"metadata":{{}},"status":"Failure","message":"command terminated with non-zero exit code: exit status {code}","reason":"NonZeroExitCode","details":{{"causes":[{{"reason":"ExitCode","message":"{code}"}}]}}}}"#
    )
}

/// The Status that reports any other failure.
pub fn failure_status(message: &str) -> String {
    format!(
        r#"{{"metadata":{{}},"status":"Failure","message":{text},"reason":"InternalError","details":{{"causes":[{{"message":{text}}}]}},"code":500}}"#,
        text = quote(message)
    )
}

/// A JSON string. Control characters are escaped as RFC 8259 asks.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if u32::from(other) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_no_stderr_and_gets_resize() {
        let names = |streams: Streams| streams.types().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let all = Streams { stdin: true, stdout: true, stderr: true, tty: false };
        assert_eq!(names(all), ["error", "stdin", "stdout", "stderr"]);
        assert_eq!(names(Streams { tty: true, ..all }), ["error", "stdin", "stdout", "resize"]);
    }

    #[test]
    fn an_exit_code_is_a_cause() {
        assert!(exit_status(7).contains(r#"{"reason":"ExitCode","message":"7"}"#));
        assert_eq!(exit_status(0), r#"{"metadata":{},"status":"Success"}"#);
    }

    #[test]
    fn a_message_is_quoted() {
        assert!(failure_status("a \"b\"\n\u{1}").contains(r#""message":"a \"b\"\n\u0001""#));
    }
}
