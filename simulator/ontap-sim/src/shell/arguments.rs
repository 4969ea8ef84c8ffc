//! From words to a command and its arguments: abbreviations are taken where they are unambiguous, the first
//! word may be left out where the rest is unambiguous without it (`export-policy rule show`).

use super::Failure;
use super::command::{Act, Command, Role};

/// What was given to a command.
#[derive(Debug, Clone, Default)]
pub(super) struct Arguments {
    given: Vec<(&'static str, String)>,
    /// Answers to the command's prompts.
    pub(super) answers: Vec<String>,
}

impl Arguments {
    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that has been checked to be there.
    pub(super) fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Everything that was given.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.given.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Sets what was not given.
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        if self.get(name).is_none() {
            self.given.push((name, value.to_owned()));
        }
    }
}

/// The command that the first words name, and the words after it.
///
/// # Errors
/// [`Failure`] when they name none, or several.
pub(super) fn find<'w>(
    commands: &[&'static [Command]],
    words: &'w [String],
) -> Result<(Command, &'w [String]), Failure> {
    let all = || commands.iter().copied().flatten();
    let first = words.first().map(String::as_str).unwrap_or_default();
    // What begins at the top is not looked for below it.
    let skip = usize::from(!all().any(|command| matches(command.words, 0, first)));
    let mut candidates: Vec<&Command> = all().collect();
    let mut used = 0;
    for word in words.iter().take_while(|word| !word.starts_with('-')) {
        let place = skip.saturating_add(used);
        let exact = candidates.iter().any(|command| command.words.get(place) == Some(&word.as_str()));
        let narrowed: Vec<_> = candidates
            .iter()
            .copied()
            .filter(|command| {
                if exact {
                    command.words.get(place) == Some(&word.as_str())
                } else {
                    matches(command.words, place, word)
                }
            })
            .collect();
        if narrowed.is_empty() {
            break;
        }
        candidates = narrowed;
        used += 1;
        // Words after a whole command are its arguments.
        if let [one] = candidates.as_slice()
            && one.words.len() == skip.saturating_add(used)
        {
            break;
        }
    }
    let bad = words.get(used).or(words.last()).map(String::as_str).unwrap_or_default();
    let unknown = Failure(format!("Error: \"{bad}\" is not a recognized command"));
    let whole: Vec<_> =
        candidates.iter().filter(|command| command.words.len() == skip.saturating_add(used)).collect();
    match (whole.as_slice(), words.get(used..)) {
        (_, None) | ([], _) => Err(unknown),
        _ if used == 0 => Err(unknown),
        ([one], Some(rest)) => Ok((***one, rest)),
        _ => {
            let titles: Vec<_> = whole.iter().map(|command| command.title()).collect();
            Err(Failure(format!(
                "Error: Ambiguous command. Possible matches include: {}.",
                titles.join(", ")
            )))
        }
    }
}

fn matches(words: &[&str], place: usize, given: &str) -> bool {
    words.get(place).is_some_and(|word| word.starts_with(given) && !given.is_empty())
}

/// The arguments of a command.
///
/// # Errors
/// [`Failure`] for what the command does not take, takes twice, or misses.
pub(super) fn read(command: &Command, words: &[String], svm: Option<&str>) -> Result<Arguments, Failure> {
    let mut arguments = Arguments::default();
    let mut positional = command.positional().into_iter();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let name = match word.strip_prefix('-') {
            Some(name) if !name.is_empty() => full_name(command, name)?,
            _ => {
                let free = positional.find(|name| arguments.get(name).is_none());
                let name = free.ok_or_else(|| {
                    Failure(format!("Error: \"{word}\" was not expected. Please specify -fieldname first."))
                })?;
                arguments.set(name, word);
                continue;
            }
        };
        if arguments.get(name).is_some() {
            return Err(Failure(format!("Error: \"-{name}\" is specified more than once.")));
        }
        // Of a parameter that needs no value, the next one's name is none.
        let valueless = name == "instance" || name == "force";
        let value = words.next_if(|next| !next.starts_with('-') || (!valueless && is_value(command, next)));
        let value = match value {
            Some(value) => value.clone(),
            None if valueless => "true".to_owned(),
            None => return Err(Failure(format!("Error: Missing value for field \"-{name}\"."))),
        };
        arguments.given.push((name, value));
    }
    if let Some(svm) = svm
        && command.names().contains(&"vserver")
    {
        arguments.set("vserver", svm);
    }
    if !matches!(command.act, Act::Show(_)) {
        let required = command.parameters.iter().filter(|parameter| parameter.role != Role::Optional);
        let missing: Vec<_> = required
            .filter(|parameter| arguments.get(parameter.name).is_none())
            .map(|parameter| format!("-{}", parameter.name))
            .collect();
        if !missing.is_empty() {
            return Err(Failure(format!("Error: Missing required parameter: {}.", missing.join(", "))));
        }
    }
    Ok(arguments)
}

/// A value may begin with a dash (`-`, `-1`, `---rwxr-xr-x`) if it is the beginning of no parameter.
fn is_value(command: &Command, word: &str) -> bool {
    let name = word.strip_prefix('-').unwrap_or(word);
    name.is_empty() || !command.names().iter().any(|known| known.starts_with(name))
}

/// The parameter that a name or its beginning stands for.
fn full_name(command: &Command, given: &str) -> Result<&'static str, Failure> {
    let names = command.names();
    if let Some(name) = names.iter().find(|name| **name == given) {
        return Ok(name);
    }
    let begun: Vec<_> = names.into_iter().filter(|name| name.starts_with(given)).collect();
    match begun.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure(format!("Error: invalid argument \"-{given}\""))),
        several => {
            let several: Vec<_> = several.iter().map(|name| format!("-{name}")).collect();
            Err(Failure(format!(
                "Error: Ambiguous argument: \"-{given}\". Possible matches: {}",
                several.join(", ")
            )))
        }
    }
}
