//! Text patterns, as people write them in a URL or a shell: `*` for any run of characters, `|`
//! between alternatives.

use std::convert::Infallible;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A pattern; the default one, `*`, fits everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Default for Pattern {
    fn default() -> Self {
        Self("*".to_owned())
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for Pattern {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text))
    }
}

impl Pattern {
    /// Whether the whole of `text` is as this pattern says.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        self.0.split('|').any(|alternative| fits(alternative, text))
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut pieces: Vec<_> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    // The first place is the best one for every piece but the last: what is left is longest then.
    for piece in pieces {
        let Some(place) = text.find(piece) else { return false };
        text = text.get(place.saturating_add(piece.len())..).unwrap_or_default();
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_and_a_bar_an_alternative() {
        let fits = |pattern: &str, text: &str| Pattern::from(pattern).fits(text);
        assert!(fits("*", "") && fits("*", "/api/cluster"));
        assert!(fits("/api/storage/*", "/api/storage/volumes/1"));
        assert!(!fits("/api/storage/*", "/api/cluster"));
        assert!(
            fits("*/volumes/*", "/api/storage/volumes/1") && !fits("*/volumes/*", "/api/storage/volumes")
        );
        assert!(fits("POST|PATCH", "PATCH") && !fits("POST|PATCH", "POST|PATCH") && !fits("POST", "POSTS"));
        assert!(fits("a*b*a", "abba") && !fits("a*b*a", "ab") && !fits("ab*ba", "aba"));
        assert!(fits("", "") && !fits("", "x") && fits("ä*", "äö"));
    }
}
