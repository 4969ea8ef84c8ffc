//! HTTP basic authentication (RFC 7617). What a refused request is answered differs by product, so
//! this decides only who is asking.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

/// A password that does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password itself, for the place that compares or prints usage help for a *default* one.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(redacted)")
    }
}

impl FromStr for Password {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

/// An administrator of the simulated array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Its password.
    pub password: Password,
}

/// Why a request is not from a known user. All three are a 401 to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No `Authorization: Basic` header.
    #[error("no basic credentials given")]
    Missing,
    /// The header is not base64 of `user:password`.
    #[error("credentials are malformed")]
    Malformed,
    /// No such user, or another password.
    #[error("user or password is wrong")]
    Wrong,
}

/// The users who may log in.
#[derive(Debug, Clone)]
pub struct BasicAuth {
    users: Vec<User>,
}

impl BasicAuth {
    /// Admits exactly `users`.
    pub fn new(users: Vec<User>) -> Self {
        Self { users }
    }

    /// Who sends these headers. Non-ASCII credentials are accepted in UTF-8 or Latin-1, since
    /// clients disagree (RFC 7617 §2.1 leaves it open). Every user is compared in constant time.
    ///
    /// # Errors
    /// [`Denied`] when the headers prove nobody.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<&User, Denied> {
        let given = basic_pair(headers)?;
        let mut found = None;
        for user in &self.users {
            let pair = format!("{}:{}", user.name, user.password.0);
            let utf8 = given.ct_eq(pair.as_bytes());
            let latin1 = latin1(&pair).map_or(0.into(), |pair| given.ct_eq(&pair));
            if bool::from(utf8 | latin1) {
                found = Some(user);
            }
        }
        found.ok_or(Denied::Wrong)
    }
}

/// Name and password that the headers give, for a product that keeps its users itself. Read as UTF-8, and as
/// Latin-1 where that they are not.
///
/// # Errors
/// [`Denied`] when there are none.
pub fn basic_credentials(headers: &HeaderMap) -> Result<User, Denied> {
    let pair = basic_pair(headers)?;
    let pair = String::from_utf8(pair)
        .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    let (name, password) = pair.split_once(':').ok_or(Denied::Malformed)?;
    Ok(User { name: name.to_owned(), password: Password::new(password) })
}

/// `user:password`, decoded.
fn basic_pair(headers: &HeaderMap) -> Result<Vec<u8>, Denied> {
    let value = headers.get(header::AUTHORIZATION).ok_or(Denied::Missing)?.as_bytes();
    let (scheme, encoded) = value.split_at_checked(6).ok_or(Denied::Missing)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Err(Denied::Missing);
    }
    let given = STANDARD.decode(encoded.trim_ascii()).map_err(|_| Denied::Malformed)?;
    if given.contains(&b':') { Ok(given) } else { Err(Denied::Malformed) }
}

/// The user that basic credentials claim, whether or not they are right.
pub(crate) fn claimed_user(headers: &HeaderMap) -> Option<String> {
    let pair = basic_pair(headers).ok()?;
    let name = pair.split(|byte| *byte == b':').next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// `text` in ISO 8859-1, if it has only characters of it.
fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> BasicAuth {
        let user = |name: &str, password: &str| User { name: name.into(), password: Password::new(password) };
        BasicAuth::new(vec![user("admin", "Netapp1!"), user("zoë", "pässwort")])
    }

    fn header(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    fn basic(pair: &[u8]) -> HeaderMap {
        header(&format!("Basic {}", STANDARD.encode(pair)))
    }

    #[test]
    fn the_right_pair_names_the_user() {
        assert_eq!(auth().authenticate(&basic(b"admin:Netapp1!")).unwrap().name, "admin");
    }

    #[test]
    fn a_wrong_password_and_an_unknown_user_are_denied_alike() {
        assert_eq!(auth().authenticate(&basic(b"admin:other")), Err(Denied::Wrong));
        assert_eq!(auth().authenticate(&basic(b"nobody:Netapp1!")), Err(Denied::Wrong));
        assert_eq!(auth().authenticate(&basic(b"admin:Netapp1!x")), Err(Denied::Wrong));
    }

    #[test]
    fn non_ascii_credentials_are_taken_in_utf8_and_in_latin1() {
        assert_eq!(auth().authenticate(&basic("zoë:pässwort".as_bytes())).unwrap().name, "zoë");
        assert_eq!(auth().authenticate(&basic(b"zo\xeb:p\xe4sswort")).unwrap().name, "zoë");
    }

    #[test]
    fn anything_but_basic_credentials_is_refused_without_panic() {
        assert_eq!(auth().authenticate(&HeaderMap::new()), Err(Denied::Missing));
        assert_eq!(auth().authenticate(&header("Basi")), Err(Denied::Missing));
        assert_eq!(auth().authenticate(&header("Bearer abcdef")), Err(Denied::Missing));
        assert_eq!(auth().authenticate(&header("Basic !!!")), Err(Denied::Malformed));
        assert_eq!(auth().authenticate(&basic(b"nocolon")), Err(Denied::Malformed));
    }

    #[test]
    fn a_password_does_not_print_itself() {
        assert!(!format!("{:?}", auth()).contains("Netapp1!"));
    }
}
