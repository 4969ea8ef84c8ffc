//! What `?` and the tabulator key tell.

use super::command::{Act, Role};
use super::{arguments, commands, words};

/// What can follow a line: one line each.
pub(crate) fn help(line: &str) -> String {
    let open = line.ends_with(' ') || line.is_empty();
    let mut words = words::words(line).unwrap_or_default();
    let begun = if open { String::new() } else { words.pop().unwrap_or_default() };
    if let Ok((command, rest)) = arguments::find(commands::ALL, &words) {
        let given = |name: &str| rest.iter().any(|word| word.trim_start_matches('-') == name);
        let begun = begun.trim_start_matches('-').to_owned();
        let mut text = String::new();
        for name in command.names().into_iter().filter(|name| name.starts_with(&begun) && !given(name)) {
            let parameter = command.parameters.iter().find(|parameter| parameter.name == name);
            let needed = !matches!(command.act, Act::Show(_))
                && parameter.is_some_and(|parameter| parameter.role != Role::Optional);
            text.push_str(&if needed {
                format!("  -{name} <value>\n")
            } else {
                format!("  [ -{name} <value> ]\n")
            });
        }
        return text;
    }
    let next = next_words(&words, &begun);
    if next.is_empty() {
        return format!("Error: \"{begun}\" is not a recognized command\n");
    }
    next.into_iter().map(|word| format!("  {word}\n")).collect()
}

/// What completes the last word of a line: the rest of it, when there is but one way.
pub(crate) fn completion(line: &str) -> Option<String> {
    let mut words = words::words(line).ok()?;
    let begun = if line.ends_with(' ') { return None } else { words.pop()? };
    let candidates: Vec<String> = match arguments::find(commands::ALL, &words) {
        Ok((command, _)) => command
            .names()
            .into_iter()
            .map(|name| format!("-{name}"))
            .filter(|name| name.starts_with(&begun))
            .collect(),
        Err(_) => next_words(&words, &begun).into_iter().map(str::to_owned).collect(),
    };
    let [one] = candidates.as_slice() else { return None };
    one.strip_prefix(&begun).map(|rest| format!("{rest} "))
}

/// The words that can stand after `before` and begin so, each once.
fn next_words(before: &[String], begun: &str) -> Vec<&'static str> {
    let fits = |words: &[&str]| {
        before.len() < words.len()
            && before.iter().zip(words).all(|(given, word)| word.starts_with(given.as_str()))
    };
    let commands = commands::ALL.iter().copied().flatten().filter(|command| fits(command.words));
    let mut next: Vec<_> = commands
        .filter_map(|command| command.words.get(before.len()).copied())
        .filter(|word| word.starts_with(begun))
        .collect();
    next.sort_unstable();
    next.dedup();
    next
}
