//! Programs of libiscsi (Debian package `libiscsi-bin`), run as real children with a deadline, and
//! what the conformance suite said.

// Code of tests alone: a program that is missing or hangs fails the test that asked, right here.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::time::timeout;

/// Long enough for the whole suite on a busy machine; alone it takes seconds.
const DEADLINE: Duration = Duration::from_secs(100);

/// Runs a program to its end; what it said on both of its outputs, in order.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> String {
    let path = format!("/usr/bin/{program}");
    assert!(
        std::path::Path::new(&path).exists(),
        "{path} is missing, so this test was not run: apt-get install libiscsi-bin \
         (`cargo xtask test` does it)"
    );
    let (output, mut reader) = pipe::pipe().unwrap();
    let output = output.into_blocking_fd().unwrap();
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let mut child = command.spawn().unwrap();
    // The command holds the writing ends: without it the pipe ends with the child.
    drop(command);
    let mut said = Vec::new();
    let ended = timeout(DEADLINE, async {
        reader.read_to_end(&mut said).await.unwrap();
        child.wait().await.unwrap()
    });
    assert!(ended.await.is_ok(), "{program} hangs; it said:\n{}", String::from_utf8_lossy(&said));
    String::from_utf8_lossy(&said).into_owned()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// How each test of a run ended, by `Suite.Test`.
#[derive(Debug)]
pub(crate) struct Report {
    verdicts: BTreeMap<String, Verdict>,
    said: String,
}

impl Report {
    /// Runs tests of `iscsi-test-cu` against a unit by one path or several.
    pub(crate) async fn of(tests: &str, urls: &[String]) -> Self {
        let selection = format!("--test={tests}");
        let mut arguments = vec!["--dataloss", "--verbose", &selection];
        arguments.extend(urls.iter().map(String::as_str));
        let report = Self::parse(run("iscsi-test-cu", &arguments).await);
        report.agree_with_summary();
        report
    }

    fn parse(said: String) -> Self {
        let mut verdicts = BTreeMap::new();
        let (mut suite, mut test) = (String::new(), None::<String>);
        for line in said.lines() {
            let line = if let Some(name) = line.strip_prefix("Suite: ") {
                (suite, test) = (name.trim().to_owned(), None);
                continue;
            } else if let Some((name, rest)) =
                line.strip_prefix("  Test: ").and_then(|line| line.split_once(" ..."))
            {
                test = Some(format!("{suite}.{name}"));
                rest
            } else if line.starts_with("Run Summary:") {
                break;
            } else {
                line
            };
            let Some(test) = &test else { continue };
            let verdict = if line.starts_with("FAILED") {
                Verdict::Failed
            } else if line.contains("[SKIPPED]") {
                Verdict::Skipped
            } else if line.starts_with("passed") {
                Verdict::Passed
            } else {
                continue;
            };
            // A skipped test is one that "passed" afterwards.
            verdicts.entry(test.clone()).or_insert(verdict);
        }
        Self { verdicts, said }
    }

    /// The summary counts as many tests and failures as were read from the lines above it.
    fn agree_with_summary(&self) {
        let line = self.said.lines().find(|line| line.trim_start().starts_with("tests "));
        let line = line.unwrap_or_else(|| panic!("the suite did not run:\n{}", self.said));
        let counts: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let failed = self.named(Verdict::Failed).len();
        assert_eq!(counts[..4], [self.verdicts.len(), self.verdicts.len(), counts[2], failed], "{line}");
    }

    /// The tests that ended so.
    pub(crate) fn named(&self, verdict: Verdict) -> Vec<&str> {
        self.verdicts.iter().filter(|(_, its)| **its == verdict).map(|(name, _)| name.as_str()).collect()
    }

    /// Every test of a suite.
    pub(crate) fn of_suite(&self, suite: &str) -> Vec<&str> {
        let of_suite = |name: &&String| name.split('.').next() == Some(suite);
        self.verdicts.keys().filter(of_suite).map(String::as_str).collect()
    }

    /// Prints the counts.
    pub(crate) fn print(&self, unit: &str) {
        let count = |verdict| self.named(verdict).len();
        println!(
            "iscsi-test-cu, {unit}: {} passed, {} failed, {} skipped of {}",
            count(Verdict::Passed),
            count(Verdict::Failed),
            count(Verdict::Skipped),
            self.verdicts.len()
        );
    }

    /// What the suite said, for a failing test to show.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }
}
