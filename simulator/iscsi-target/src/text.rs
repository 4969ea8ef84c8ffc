//! Text of login and text PDUs: `key=value` pairs, each ended by a NUL (RFC 7143 §6.1).

use bytes::Bytes;
use thiserror::Error;

/// Longest text of one exchange, over all its PDUs, in bytes.
pub(crate) const MAX_TEXT: usize = 64 * 1024;
/// Longest key (RFC 7143 §6.1: 63 bytes).
const MAX_KEY: usize = 63;

/// Why text is not a list of pairs.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum TextError {
    #[error("text is not UTF-8")]
    NotUtf8,
    #[error("a pair has no '=' or no proper key")]
    NotAPair,
    #[error("key {0} is given twice")]
    Twice(String),
    #[error("text is longer than {MAX_TEXT} bytes")]
    TooLong,
}

/// Pairs in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(Vec<(String, String)>);

impl Text {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, TextError> {
        let text = std::str::from_utf8(bytes).map_err(|_| TextError::NotUtf8)?;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('\0').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(TextError::NotAPair)?;
            if key.is_empty() || key.len() > MAX_KEY {
                return Err(TextError::NotAPair);
            }
            if pairs.iter().any(|(seen, _)| seen == key) {
                return Err(TextError::Twice(key.to_owned()));
            }
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self(pairs))
    }

    /// The value of a key, which is taken out.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(seen, _)| seen == key)?;
        Some(self.0.remove(at).1)
    }

    /// The value of a key, which stays.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(seen, _)| seen == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    pub(crate) fn push(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((key.to_owned(), value.into()));
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        for (key, value) in &self.0 {
            out.extend_from_slice(key.as_bytes());
            out.push(b'=');
            out.extend_from_slice(value.as_bytes());
            out.push(0);
        }
        Bytes::from(out)
    }
}

impl IntoIterator for Text {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Collects the text of one exchange from PDUs with the C bit until one without.
#[derive(Debug, Default)]
pub(crate) struct TextCollector(Vec<u8>);

impl TextCollector {
    /// Adds a PDU's data. `Some` with the whole once `more` is false.
    pub(crate) fn collect(&mut self, data: &[u8], more: bool) -> Result<Option<Text>, TextError> {
        if self.0.len() + data.len() > MAX_TEXT {
            return Err(TextError::TooLong);
        }
        self.0.extend_from_slice(data);
        if more { Ok(None) } else { Text::parse(&std::mem::take(&mut self.0)).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_cut_between_two_pdus_is_one_pair() {
        let mut collector = TextCollector::default();
        assert_eq!(collector.collect(b"InitiatorNa", true).unwrap(), None);
        let mut text = collector.collect(b"me=iqn.x\0HeaderDigest=None\0", false).unwrap().unwrap();
        assert_eq!(text.take("InitiatorName").as_deref(), Some("iqn.x"));
        assert_eq!(text.to_bytes(), &b"HeaderDigest=None\0"[..]);
    }

    #[test]
    fn text_that_is_no_list_of_pairs_is_refused() {
        assert_eq!(Text::parse(b"novalue\0"), Err(TextError::NotAPair));
        assert_eq!(Text::parse(b"=x\0"), Err(TextError::NotAPair));
        assert_eq!(Text::parse(b"A=1\0A=2\0"), Err(TextError::Twice("A".into())));
        assert_eq!(Text::parse(b"A=\xff\0"), Err(TextError::NotUtf8));
    }

    #[test]
    fn endless_text_is_refused() {
        let mut collector = TextCollector::default();
        let block = [b'a'; 8192];
        let refused = (0..9).find_map(|_| collector.collect(&block, true).err());
        assert_eq!(refused, Some(TextError::TooLong));
    }
}
