//! The status line of a multipath table (drivers/md/dm-mpath.c, `multipath_status`).

use agent_core::facts::DeviceNumber;

/// One path as the kernel's multipath target sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathStatus {
    /// The disk.
    pub(super) number: DeviceNumber,
    /// It may carry I/O (`A`); otherwise it has failed (`F`) and waits to be reinstated.
    pub(super) active: bool,
}

/// Reads
/// `#features … #handler-args … #groups next-group { state #selector-args … #paths #path-args { dev A|F fails … } }`.
/// `None` for what is not of that form.
pub(super) fn parse(line: &str) -> Option<Vec<PathStatus>> {
    let mut words = line.split_ascii_whitespace();
    skip_counted(&mut words)?;
    skip_counted(&mut words)?;
    let groups: u32 = words.next()?.parse().ok()?;
    let _next_group = words.next()?;
    let mut paths = Vec::new();
    for _ in 0..groups {
        let _state = words.next()?;
        skip_counted(&mut words)?;
        let count: u32 = words.next()?.parse().ok()?;
        let arguments: u32 = words.next()?.parse().ok()?;
        for _ in 0..count {
            let number = words.next()?.parse().ok()?;
            let active = words.next()? == "A";
            let _fails = words.next()?;
            skip(&mut words, arguments)?;
            paths.push(PathStatus { number, active });
        }
    }
    Some(paths)
}

fn skip_counted<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<()> {
    let count = words.next()?.parse().ok()?;
    skip(words, count)
}

fn skip<'a>(words: &mut impl Iterator<Item = &'a str>, count: u32) -> Option<()> {
    for _ in 0..count {
        words.next()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(line: &str) -> Vec<(String, bool)> {
        parse(line).unwrap().iter().map(|path| (path.number.to_string(), path.active)).collect()
    }

    #[test]
    fn paths_of_every_group_are_read_with_their_state() {
        let line = "2 0 0 0 1 1 A 0 2 2 8:0 A 0 0 1 8:16 F 1 0 1 ";
        assert_eq!(of(line), [("8:0".to_owned(), true), ("8:16".to_owned(), false)]);
        // From a node: two groups by ALUA, I/O waiting allowed, one initialisation done.
        let alua = "2 0 1 0 2 1 A 0 1 2 8:0 A 0 0 1 E 0 1 2 8:16 A 0 0 1 ";
        assert_eq!(of(alua), [("8:0".to_owned(), true), ("8:16".to_owned(), true)]);
    }

    #[test]
    fn a_table_without_paths_has_none() {
        assert_eq!(of("2 0 0 0 0 0"), []);
    }

    #[test]
    fn a_line_that_is_cut_off_is_not_guessed_at() {
        assert_eq!(parse("2 0 0 0 1 1 A 0 2 2 8:0 A 0 0 1 8:16"), None);
        assert_eq!(parse(""), None);
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in "[0-9A-F: ]{0,80}") {
            let _whatever = parse(&line);
        }
    }
}
