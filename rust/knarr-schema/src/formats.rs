//! Named text formats: each gives the messages Kubernetes' util/validation gives for a bad value, none for a good one.
//!
//! The expressions in the messages are part of the API's answers; the matchers are written out, since they run on every name and
//! label of every object.

/// The messages of one format for one value.
pub type Format = fn(&str) -> Vec<String>;

const LABEL_1123: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// The format of a name in a declaration.
pub fn by_name(name: &str) -> Option<Format> {
    FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
}

/// Every format and its name, as declarations spell it.
pub const FORMATS: &[(&str, Format)] = &[
    ("dns1123Label", dns1123_label),
    ("dns1123Subdomain", dns1123_subdomain),
    ("dns1123SubdomainUnderscore", dns1123_subdomain_underscore),
    ("dns1035Label", dns1035_label),
    ("wildcardDns1123Subdomain", wildcard_dns1123_subdomain),
    ("qualifiedName", qualified_name),
    ("labelValue", label_value),
    ("cIdentifier", c_identifier),
    ("envVarName", env_var_name),
    ("relaxedEnvVarName", relaxed_env_var_name),
    ("configMapKey", config_map_key),
    ("portName", port_name),
    ("httpHeaderName", http_header_name),
    ("percent", percent),
    ("pathSegment", path_segment),
    ("ip", ip),
    ("ipSloppy", ip_sloppy),
    ("cidr", cidr),
    ("localDescendingPath", local_descending_path),
    ("noBacksteps", no_backsteps),
    ("nonReservedPath", non_reserved_path),
    ("absolutePath", absolute_path),
    ("httpPathAbsolute", http_path_absolute),
    ("sysctl", sysctl),
];

fn max_len(n: usize) -> String {
    format!("must be no more than {n} characters")
}

fn regex(message: &str, expression: &str, examples: &[&str]) -> String {
    let mut out = String::from(message);
    if examples.is_empty() {
        return format!("{out} (regex used for validation is '{expression}')");
    }
    out.push_str(" (e.g. ");
    for (index, example) in examples.iter().enumerate() {
        if index > 0 {
            out.push_str(" or ");
        }
        out.push('\'');
        out.push_str(example);
        out.push_str("', ");
    }
    out.push_str(&format!("regex used for validation is '{expression}')"));
    out
}

fn lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// First and last by `edge`, the rest by `edge` or `inner`; never empty.
fn framed(text: &[u8], edge: fn(u8) -> bool, inner: &[u8]) -> bool {
    match (text.first(), text.last()) {
        (Some(first), Some(last)) => edge(*first) && edge(*last) && text.iter().all(|b| edge(*b) || inner.contains(b)),
        _ => false,
    }
}

fn is_label(text: &[u8]) -> bool {
    framed(text, lower_alnum, b"-")
}

fn is_subdomain(text: &str) -> bool {
    text.as_bytes().split(|b| *b == b'.').all(is_label)
}

fn is_qualified(text: &str) -> bool {
    framed(text.as_bytes(), |b| b.is_ascii_alphanumeric(), b"-_.")
}

pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > 63 {
        out.push(max_len(63));
    }
    if !is_label(value.as_bytes()) {
        if is_subdomain(value) {
            out.push("must not contain dots".into());
        } else {
            out.push(regex(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                LABEL_1123,
                &["my-name", "123-abc"],
            ));
        }
    }
    out
}

pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > 253 {
        out.push(max_len(253));
    }
    if !is_subdomain(value) {
        out.push(regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            &format!("{LABEL_1123}(\\.{LABEL_1123})*"),
            &["example.com"],
        ));
    }
    out
}

pub fn dns1123_subdomain_underscore(value: &str) -> Vec<String> {
    const LABEL: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    let mut out = Vec::new();
    if value.len() > 253 {
        out.push(max_len(253));
    }
    let one = |part: &[u8]| framed(part.strip_prefix(b"_").unwrap_or(part), lower_alnum, b"-_");
    if !value.as_bytes().split(|b| *b == b'.').all(one) {
        out.push(regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
            &format!("{LABEL}(\\.{LABEL})*"),
            &["example.com"],
        ));
    }
    out
}

pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > 63 {
        out.push(max_len(63));
    }
    if !(is_label(value.as_bytes()) && value.as_bytes()[0].is_ascii_lowercase()) {
        out.push(regex(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    out
}

fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > 253 {
        out.push(max_len(253));
    }
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        out.push(regex(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!("\\*\\.{LABEL_1123}(\\.{LABEL_1123})*"),
            &["*.example.com"],
        ));
    }
    out
}

/// A label key, a resource name, a finalizer: an optional subdomain, a slash and a name.
pub fn qualified_name(value: &str) -> Vec<String> {
    const MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    const EXAMPLES: &[&str] = &["MyName", "my.name", "123-abc"];
    let mut out = Vec::new();
    let mut parts = value.split('/');
    let (first, second, third) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    let name = match (second, third) {
        (None, _) => first,
        (Some(name), None) => {
            if first.is_empty() {
                out.push("prefix part must be non-empty".into());
            } else {
                out.extend(dns1123_subdomain(first).into_iter().map(|m| format!("prefix part {m}")));
            }
            name
        }
        (Some(_), Some(_)) => {
            out.push(format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                regex(MESSAGE, QUALIFIED, EXAMPLES)
            ));
            return out;
        }
    };
    if name.is_empty() {
        out.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        out.push(format!("name part {}", max_len(63)));
    }
    if !is_qualified(name) {
        out.push(format!("name part {}", regex(MESSAGE, QUALIFIED, EXAMPLES)));
    }
    out
}

pub fn label_value(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > 63 {
        out.push(max_len(63));
    }
    if !value.is_empty() && !is_qualified(value) {
        out.push(regex(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            &format!("({QUALIFIED})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    out
}

fn c_identifier(value: &str) -> Vec<String> {
    let mut bytes = value.bytes();
    let good = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if good {
        return Vec::new();
    }
    vec![regex(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

fn backstep_prefix(value: &str, out: &mut Vec<String>) {
    match value {
        "." => out.push("must not be '.'".into()),
        ".." => out.push("must not be '..'".into()),
        _ if value.starts_with("..") => out.push("must not start with '..'".into()),
        _ => {}
    }
}

fn env_var_name(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if !(value.bytes().next().is_some_and(|b| inner(b) && !b.is_ascii_digit()) && value.bytes().all(inner)) {
        out.push(regex(
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
            "[-._a-zA-Z][-._a-zA-Z0-9]*",
            &["my.env-name", "MY_ENV.NAME", "MyEnvName1"],
        ));
    }
    backstep_prefix(value, &mut out);
    out
}

fn relaxed_env_var_name(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.is_empty() {
        out.push("environment variable name must be non-empty".into());
    }
    if value.chars().any(|c| !(' '..='~').contains(&c) || c == '=') {
        out.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='".into(),
        );
    }
    out
}

fn config_map_key(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > 253 {
        out.push(max_len(253));
    }
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        out.push(regex(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    backstep_prefix(value, &mut out);
    out
}

fn port_name(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > 15 {
        out.push(max_len(15));
    }
    if value.is_empty() || !value.bytes().all(|b| lower_alnum(b) || b == b'-') {
        out.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        out.push("must contain at least one letter (a-z)".into());
    }
    if value.contains("--") {
        out.push("must not contain consecutive hyphens".into());
    }
    if value.starts_with('-') || value.ends_with('-') {
        out.push("must not begin or end with a hyphen".into());
    }
    out
}

fn http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec![regex(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    vec![regex("a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", &["1%", "93%"])]
}

/// A name that may stand between slashes of a URL (RBAC's names).
pub fn path_segment(value: &str) -> Vec<String> {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    ["/", "%"].iter().filter(|bad| value.contains(**bad)).map(|bad| format!("may not contain '{bad}'")).collect()
}

/// An address as Go's old parser took it: leading zeros allowed. `None`: no address.
pub fn parse_ip_sloppy(value: &str) -> Option<std::net::IpAddr> {
    if let Ok(ip) = value.parse() {
        return Some(ip);
    }
    let mut octets = [0u8; 4];
    let mut parts = value.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 16 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse::<u64>().ok().and_then(|n| u8::try_from(n).ok())?;
    }
    parts.next().is_none().then(|| std::net::IpAddr::from(octets))
}

const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

fn ip_sloppy(value: &str) -> Vec<String> {
    if parse_ip_sloppy(value).is_some() { Vec::new() } else { vec![NOT_AN_IP.into()] }
}

/// Go prints an IPv4-mapped address as the IPv4 one.
pub fn canonical_ip(ip: std::net::IpAddr) -> String {
    match ip {
        std::net::IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => v6.to_string(),
        },
        v4 => v4.to_string(),
    }
}

pub fn ip(value: &str) -> Vec<String> {
    let Some(ip) = parse_ip_sloppy(value) else { return vec![NOT_AN_IP.into()] };
    let strict = value.parse::<std::net::IpAddr>();
    if strict.is_err() {
        return vec!["must not have leading 0s".into()];
    }
    if matches!(ip, std::net::IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return vec!["must not be an IPv4-mapped IPv6 address".into()];
    }
    let canonical = canonical_ip(ip);
    if canonical == value {
        Vec::new()
    } else {
        vec![format!("must be in canonical form ({})", crate::error::quote(&canonical))]
    }
}

fn cidr(value: &str) -> Vec<String> {
    let good = value.split_once('/').is_some_and(|(address, bits)| {
        let max = match parse_ip_sloppy(address) {
            Some(std::net::IpAddr::V4(_)) => 32,
            Some(std::net::IpAddr::V6(_)) => 128,
            None => return false,
        };
        !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) && bits.parse::<u32>().is_ok_and(|n| n <= max)
    });
    if good { Vec::new() } else { vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into()] }
}

fn no_backsteps(value: &str) -> Vec<String> {
    if value.split('/').any(|part| part == "..") { vec!["must not contain '..'".into()] } else { Vec::new() }
}

fn local_descending_path(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.starts_with('/') {
        out.push("must be a relative path".into());
    }
    out.extend(no_backsteps(value));
    out
}

fn non_reserved_path(value: &str) -> Vec<String> {
    let mut out = local_descending_path(value);
    if value.starts_with("..") && !value.starts_with("../") {
        out.push("must not start with '..'".into());
    }
    out
}

fn absolute_path(value: &str) -> Vec<String> {
    if value.starts_with('/') { Vec::new() } else { vec!["must be an absolute path".into()] }
}

fn http_path_absolute(value: &str) -> Vec<String> {
    if value.starts_with('/') { Vec::new() } else { vec!["must be an absolute path".into()] }
}

fn sysctl(value: &str) -> Vec<String> {
    const SEGMENT: &str = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    let one = |part: &[u8]| framed(part, lower_alnum, b"-_");
    let mut out = Vec::new();
    if value.len() > 253 {
        out.push(max_len(253));
    }
    let good = value.split('/').all(|part| part.as_bytes().split(|b| *b == b'.').all(one));
    if !good {
        out.push(format!("must have at most 253 characters and match regex ^({SEGMENT}[\\./])*{SEGMENT}$"));
    }
    out
}

/// What a prefix for a generated name is checked as: its trailing dash may be followed by a letter.
pub fn mask_trailing_dash(name: &str) -> std::borrow::Cow<'_, str> {
    if name.len() > 1 && name.ends_with('-') && name.is_char_boundary(name.len() - 2) {
        std::borrow::Cow::Owned(format!("{}a", &name[..name.len() - 2]))
    } else {
        std::borrow::Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, good: &[&str], bad: &[(&str, &str)]) {
        let run = by_name(format).unwrap();
        for value in good {
            assert!(run(value).is_empty(), "{format} {value}: {:?}", run(value));
        }
        for (value, begins) in bad {
            let messages = run(value);
            assert!(messages.iter().any(|m| m.starts_with(begins)), "{format} {value}: {messages:?}");
        }
    }

    #[test]
    fn formats_accept_and_refuse() {
        check(
            "dns1123Label",
            &["a", "a-b", "1"],
            &[
                ("A", "a lowercase RFC 1123 label"),
                ("a.b", "must not contain dots"),
                ("", "a lowercase"),
                ("-a", "a lowercase"),
            ],
        );
        check(
            "dns1123Subdomain",
            &["a", "a.b-c"],
            &[("a..b", "a lowercase RFC 1123 subdomain"), ("a_b", "a lowercase")],
        );
        check("dns1035Label", &["a1"], &[("1a", "a DNS-1035 label")]);
        check(
            "qualifiedName",
            &["a", "Ex.y", "example.com/A_b"],
            &[
                ("", "name part must be non-empty"),
                ("/a", "prefix part must be"),
                ("a/b/c", "a qualified name must"),
                ("-a", "name part must consist"),
            ],
        );
        check("labelValue", &["", "a.B"], &[("a b", "a valid label must be")]);
        check(
            "portName",
            &["http", "a-1"],
            &[
                ("1", "must contain at least one letter"),
                ("a--b", "must not contain consecutive"),
                ("-a", "must not begin or end"),
                ("abcdefghijklmnop", "must be no more than 15"),
            ],
        );
        check(
            "configMapKey",
            &["a", ".a", "a..b"],
            &[("", "a valid config key"), ("..", "must not be '..'"), ("..a", "must not start with")],
        );
        check("envVarName", &["A", "a.b-c"], &[("1", "a valid environment variable name")]);
        check(
            "relaxedEnvVarName",
            &["1 x"],
            &[("a=b", "a valid environment"), ("", "environment variable name must be")],
        );
        check(
            "ip",
            &["10.0.0.1", "::1"],
            &[
                ("10.0.0.01", "must not have leading 0s"),
                ("x", "must be a valid IP"),
                ("0:0::1", "must be in canonical form (\"::1\")"),
                ("::ffff:1.2.3.4", "must not be an IPv4-mapped"),
            ],
        );
        check("cidr", &["10.0.0.0/8"], &[("10.0.0.0", "must be a valid CIDR"), ("10.0.0.0/33", "must be")]);
        check("percent", &["5%"], &[("5", "a valid percent"), ("%", "a valid percent")]);
        check("pathSegment", &["system:node"], &[("a/b", "may not contain '/'"), ("..", "may not be '..'")]);
        check("sysctl", &["kernel.shm", "net/ipv4"], &[("a..b", "must have at most 253")]);
    }

    #[test]
    fn prefixes_are_masked() {
        assert_eq!(mask_trailing_dash("ab-"), "aa");
        assert_eq!(mask_trailing_dash("-"), "-");
    }
}
