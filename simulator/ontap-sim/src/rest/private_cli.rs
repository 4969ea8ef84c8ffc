//! `/private/cli/…`: commands of the shell by HTTP, where no collection has the path. What clients of the
//! REST API send most is in [`super::resources`], with statuses and fields of its own.

use super::answer::Answer;
use super::engine::{Call, Method, find_resource};
use super::path::{decoded, segments};
use crate::management::Management;
use crate::shell::{Request, passthrough};

/// The words of the command that a call is; `None` when it is none, or one that a collection answers.
pub(crate) fn command_words(call: &Call) -> Option<Vec<String>> {
    let segments = segments(&call.path)?;
    let [private, cli, words @ ..] = segments.as_slice() else { return None };
    let here = private == "private" && cli == "cli" && call.method != Method::Options;
    (here && find_resource(&segments).is_none()).then(|| words.to_vec())
}

/// Runs the command of these words; `None` when there is none.
pub(crate) fn run_command(management: &mut Management<'_>, words: &[String], call: &Call) -> Option<Answer> {
    let pairs = call.query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query: Vec<_> = pairs.map(|(name, value)| (decoded(name, true), decoded(value, true))).collect();
    let request = Request { method: call.method, words, query: &query, body: &call.body };
    let answered = passthrough(management, &request)?;
    let answered = answered.map(|(status, body)| Answer::new(status, body));
    Some(answered.unwrap_or_else(|refusal| Answer::refused(&refusal)))
}
