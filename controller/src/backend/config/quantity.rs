//! Sizes as backend files write them: `"50Gi"`, `"1G"`, `"1000000000"`.

const UNITS: [(&str, u32, u32); 6] =
    [("K", 3, 10), ("M", 6, 20), ("G", 9, 30), ("T", 12, 40), ("P", 15, 50), ("E", 18, 60)];

/// Bytes of `text`: decimal units (`G`, `GB`) count by 1000, binary ones (`Gi`, `GiB`) by 1024.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let cure = || format!("`{text}` is not a size: write bytes, or a number with a unit such as \"50Gi\"");
    let text_trimmed = text.trim();
    let digits = text_trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(text_trimmed.len());
    let (number, unit) = text_trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| cure())?;
    let unit = unit.trim().to_ascii_uppercase();
    let factor = match unit.as_str() {
        "" | "B" => 1,
        unit => {
            let (_, ten, two) = UNITS.iter().find(|(name, ..)| unit.starts_with(name)).ok_or_else(cure)?;
            match unit.get(1..).unwrap_or_default() {
                "" | "B" => 10_u64.pow(*ten),
                "I" | "IB" => 1_u64 << two,
                _ => return Err(cure()),
            }
        }
    };
    number.checked_mul(factor).filter(|bytes| *bytes > 0).ok_or_else(cure)
}

/// Bytes for people: the largest binary unit that divides evenly, else bytes.
pub fn format_bytes(bytes: u64) -> String {
    UNITS
        .iter()
        .rev()
        .find(|(_, _, two)| bytes > 0 && bytes.is_multiple_of(1_u64 << two))
        .map_or_else(|| format!("{bytes}B"), |(name, _, two)| format!("{}{name}i", bytes >> two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_bytes_with_an_optional_unit() {
        for (text, bytes) in [
            ("1000000000", 1_000_000_000),
            ("1G", 1_000_000_000),
            ("1GB", 1_000_000_000),
            ("1Gi", 1 << 30),
            ("50 GiB", 50 << 30),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "G", "1Q", "-1", "1.5G", "0", "99999999999E"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_loses_nothing() {
        assert_eq!(format_bytes(1 << 30), "1Gi");
        assert_eq!(format_bytes(1_000_000_000), "1000000000B");
        assert_eq!(format_bytes((5 << 30) + (1 << 20)), "5121Mi");
    }
}
