//! Paths as real clients write them: doubled and trailing slashes, escaped separators in names.

/// Percent-decodes; what is not a valid escape stays as it is. `plus` turns `+` into a space (query
/// strings only).
pub(super) fn decoded(text: &str, plus: bool) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' if plus => decoded.push(b' '),
            b'%' => match escape(after) {
                Some((value, after)) => {
                    decoded.push(value);
                    rest = after;
                }
                None => decoded.push(b'%'),
            },
            other => decoded.push(other),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The byte that two hexadecimal digits at the front stand for, and what follows them.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.split_at_checked(2)?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    Some((u8::from_str_radix(digits, 16).ok()?, after))
}

/// The decoded segments below `/api`; `None` for a path elsewhere.
pub(super) fn segments(path: &str) -> Option<Vec<String>> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    (parts.next()? == "api").then(|| parts.map(|part| decoded(part, false)).collect())
}

/// The path with its segments decoded and single slashes between them, as roles name paths.
pub fn plain_path(path: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.fold(String::with_capacity(path.len()), |mut plain, part| {
        plain.push('/');
        plain.push_str(&decoded(part, false));
        plain
    })
}

/// Escapes what may not stand in a path segment or a query value.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}
