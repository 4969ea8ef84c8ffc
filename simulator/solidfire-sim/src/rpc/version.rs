//! The API's versions: each is a path of its own, all of them answer alike here.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

/// A version, `major.minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u8,
    minor: u8,
}

/// The newest version there is.
pub(super) const CURRENT: Version = Version { major: 12, minor: 8 };
/// The software version that belongs to it.
pub(super) const SOFTWARE: &str = "12.8.0.1";

/// The last minor version of each major one, from 1.
const LAST_MINORS: [u8; 12] = [0, 0, 0, 0, 1, 0, 4, 7, 6, 9, 8, 8];

/// Every version there is, ascending, as text.
pub(super) fn supported() -> Vec<String> {
    let minors = |(major, last): (u8, u8)| (0..=last).map(move |minor| Version { major, minor }.to_string());
    (1u8..).zip(LAST_MINORS).flat_map(minors).collect()
}

/// The result of `GetAPI`.
pub(super) fn api() -> Value {
    json!({"currentVersion": CURRENT.to_string(), "supportedVersions": supported()})
}

impl FromStr for Version {
    type Err = ();

    /// A version this cluster has.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        let number = |text: &str| {
            let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            if plain { text.parse::<u8>().map_err(|_| ()) } else { Err(()) }
        };
        let version = Self { major: number(major)?, minor: number(minor)? };
        let last =
            usize::from(version.major).checked_sub(1).and_then(|index| LAST_MINORS.get(index)).ok_or(())?;
        if version.minor <= *last { Ok(version) } else { Err(()) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_that_is_listed_is_a_path() {
        let all = supported();
        assert!(all.iter().all(|text| text.parse::<Version>().is_ok()));
        assert_eq!(all.first().unwrap(), "1.0");
        assert_eq!(*all.last().unwrap(), CURRENT.to_string());
    }

    #[test]
    fn the_versions_clients_use_are_there() {
        for text in
            ["1.0", "5.0", "6.0", "7.0", "8.0", "9.0", "10.0", "11.0", "12.0", "12.3", "12.5", "12.7", "12.8"]
        {
            assert!(text.parse::<Version>().is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_newer_or_no_version_is_not_there() {
        for text in ["12.9", "13.0", "0.9", "8", "8.", ".0", "8.0.1", "+8.0", "8.-0", "8.000", "", "latest"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
