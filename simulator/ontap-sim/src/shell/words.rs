//! A command line's words: separated by blanks, quoted by `"` where they have some in them.

/// A line that ends within quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quotation mark is not closed")]
pub(super) struct Unclosed;

/// The words of a line.
///
/// # Errors
/// [`Unclosed`].
pub(super) fn words(line: &str) -> Result<Vec<String>, Unclosed> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(characters.next()),
            blank if blank.is_whitespace() && !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    if quoted { Err(Unclosed) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_by_blanks_and_kept_together_by_quotes() {
        let line = r#"volume  modify -comment "two words" -x "" -y "a \" b""#;
        let expected = ["volume", "modify", "-comment", "two words", "-x", "", "-y", "a \" b"];
        assert_eq!(words(line).unwrap(), expected);
        assert_eq!(words("   "), Ok(Vec::new()));
        assert_eq!(words("a \"b"), Err(Unclosed));
    }
}
