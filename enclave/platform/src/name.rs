//! Names that an authority certifies, by one rule for the guardian and who has its keys certified.

/// Characters of a name (RFC 1035 §2.3.4, in text).
const NAME_CHARS_MAX: usize = 253;

/// Whether a name is one that an authority certifies: no address, no wildcard, no single label.
#[must_use]
pub fn is_public_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        bytes && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= NAME_CHARS_MAX
        && name.contains('.')
        && name.split('.').all(is_label)
        && last.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::is_public_name;

    #[test]
    fn names_that_an_authority_certifies() {
        for name in ["node.example.com", "a.b", "xn--bcher-kva.example", "1.2.example"] {
            assert!(is_public_name(name), "{name}");
        }
        let long = format!("{}.example", "a".repeat(64));
        let longest = format!("{}example", "abcdefg.".repeat(32));
        for name in [
            "",
            ".",
            "node",
            "localhost",
            "Node.example",
            "*.example",
            "node.example.",
            ".example",
            "a..b",
            "127.0.0.1",
            "-a.example",
            "a-.example",
            "a_b.example",
            "b\u{fc}cher.example",
            "a b.example",
            &long,
            &longest,
        ] {
            assert!(!is_public_name(name), "{name}");
        }
    }
}
