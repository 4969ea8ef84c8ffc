//! Values that never print.

use zeroize::Zeroize;

/// A value that prints as `***` and is wiped when dropped. Reading it is a visible act: [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize = String>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one call that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> core::fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("***")
    }
}

impl<T: Zeroize> core::fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("***")
    }
}

/// A name and the secret that proves it (RFC 7143 §12.1, CHAP_N and the key behind CHAP_R).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChapPair {
    /// CHAP_N.
    pub username: String,
    /// The shared secret.
    pub secret: Secret,
}

/// What an initiator needs to log in to an authenticated target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChapCredentials {
    /// The initiator proves itself with this pair.
    pub initiator: ChapPair,
    /// The target proves itself with this pair; absent for one-way CHAP.
    pub target: Option<ChapPair>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_even_deep_inside_a_structure() {
        let pair = ChapPair { username: "u".into(), secret: Secret::new("canary".to_owned()) };
        let credentials = ChapCredentials { initiator: pair.clone(), target: Some(pair) };
        assert!(!format!("{credentials:?} {}", credentials.initiator.secret).contains("canary"));
        assert_eq!(credentials.initiator.secret.expose(), "canary");
    }
}
