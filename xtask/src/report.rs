//! What the tests did, by package: counts at the end of `cargo xtask test`, where one looks.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::command::target_directory;

/// Where nextest writes its JUnit report (`.config/nextest.toml`).
const JUNIT: &str = "nextest/default/junit.xml";

/// Counts of one package.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    tests: u64,
    failed: u64,
    seconds: f64,
}

/// Counts of all packages of a run.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Report(BTreeMap<String, Count>);

impl Report {
    /// The report of the run that began at `started`.
    ///
    /// # Errors
    /// When there is none, or only that of an earlier run.
    pub(crate) fn since(started: SystemTime) -> Result<Self> {
        let path = target_directory().join(JUNIT);
        let shown = path.display();
        let written = path.metadata().and_then(|file| file.modified());
        if written.with_context(|| format!("nextest left no report at {shown}"))? < started {
            bail!("{shown} is the report of an earlier run");
        }
        Ok(Self::parse(&std::fs::read_to_string(&path).with_context(|| format!("read {shown}"))?))
    }

    /// Reads JUnit: `<testsuite name="package::file" tests= failures= errors=>` around
    /// `<testcase time=>`.
    fn parse(text: &str) -> Self {
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        let mut package = String::new();
        for tag in text.split('<') {
            let number = |name: &str| attribute(tag, name).and_then(|value| value.parse::<f64>().ok());
            let whole = |name: &str| attribute(tag, name).and_then(|value| value.parse::<u64>().ok());
            if tag.starts_with("testsuite ") {
                let suite = attribute(tag, "name").unwrap_or_default();
                package = suite.split("::").next().unwrap_or_default().to_owned();
                let count = counts.entry(package.clone()).or_default();
                count.tests += whole("tests").unwrap_or_default();
                count.failed += whole("failures").unwrap_or_default() + whole("errors").unwrap_or_default();
            } else if tag.starts_with("testcase ") {
                counts.entry(package.clone()).or_default().seconds += number("time").unwrap_or_default();
            }
        }
        Self(counts)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Count::default();
        writeln!(f, "{:<20} {:>6} {:>7} {:>9}", "package", "tests", "failed", "seconds")?;
        for (package, count) in &self.0 {
            let Count { tests, failed, seconds } = *count;
            writeln!(f, "{package:<20} {tests:>6} {failed:>7} {seconds:>9.1}")?;
            all.tests += tests;
            all.failed += failed;
            all.seconds += seconds;
        }
        write!(f, "{:<20} {:>6} {:>7} {:>9.1}", "all", all.tests, all.failed, all.seconds)
    }
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_package_are_counted_together() {
        let report = Report::parse(
            r#"<testsuites name="nextest-run" tests="4" failures="1">
            <testsuite name="vm" tests="1" disabled="0" errors="0" failures="0">
                <testcase name="a" classname="vm" time="0.5"></testcase></testsuite>
            <testsuite name="vm::node" tests="3" disabled="0" errors="1" failures="1">
                <testcase name="b" classname="vm::node" time="2.0"><failure/></testcase></testsuite>
            </testsuites>"#,
        );
        let wanted = Count { tests: 4, failed: 2, seconds: 2.5 };
        assert_eq!(report, Report(BTreeMap::from([("vm".to_owned(), wanted)])));
    }
}
