//! What `show` prints: a table of some columns, `-fields` as one line a record, `-instance` as one line a
//! field.

use std::fmt::Write as _;

use serde_json::Value;

use super::Failure;
use super::arguments::Arguments;
use crate::management::{Management, Source};
use crate::rest::{satisfies, text_of, values_at};

/// What a command shows.
#[derive(Debug)]
pub(super) struct Table {
    /// Where the records are.
    pub(super) source: Source,
    /// Every field, the keys first.
    pub(super) columns: &'static [Column],
    /// How many of them are keys.
    pub(super) keys: usize,
    /// What is shown when nothing is asked for: a column, its head, its least width.
    pub(super) shown: &'static [(&'static str, &'static str, usize)],
}

/// A field of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its name, as in `-fields`.
    pub(super) name: &'static str,
    /// Its name, as in `-instance`.
    pub(super) label: &'static str,
    /// Field of the management API.
    pub(super) field: &'static str,
    /// How it is written.
    pub(super) form: Form,
}

/// How a value is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// As it is; several with commas between.
    Plain,
    /// Bytes, in the largest unit.
    Size,
    /// A number with a percent sign.
    Percent,
    /// By another word, given as (management API, shell).
    Words(&'static [(&'static str, &'static str)]),
    /// Whatever the record says.
    Computed(fn(&Value) -> Option<String>),
}

/// A column.
pub(super) const fn column(name: &'static str, label: &'static str, field: &'static str) -> Column {
    Column { name, label, field, form: Form::Plain }
}

/// A column in another form.
pub(super) const fn formed(
    name: &'static str,
    label: &'static str,
    field: &'static str,
    form: Form,
) -> Column {
    Column { name, label, field, form }
}

impl Column {
    /// What stands in the column for a record.
    pub(super) fn text(&self, record: &Value) -> String {
        let values = values_at(record, self.field);
        let text = match self.form {
            Form::Plain => Some(values.into_iter().map(text_of).collect::<Vec<_>>().join(",")),
            Form::Size => values.first().and_then(|value| value.as_u64()).map(human),
            Form::Percent => values.first().map(|value| format!("{}%", text_of(value))),
            Form::Words(words) => values.first().map(|value| {
                let text = text_of(value);
                words.iter().find(|(theirs, _)| *theirs == text).map_or(text, |(_, ours)| (*ours).to_owned())
            }),
            Form::Computed(how) => how(record),
        };
        text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
    }

    /// The same as a JSON value, numbers and lists as they are; `None` where nothing is set.
    pub(super) fn value(&self, record: &Value) -> Option<Value> {
        match self.form {
            Form::Plain | Form::Size | Form::Percent => {
                let values = values_at(record, self.field);
                match values.as_slice() {
                    [] => None,
                    [one] => Some((*one).clone()),
                    several => Some(several.iter().copied().cloned().collect()),
                }
            }
            Form::Words(_) | Form::Computed(_) => {
                Some(self.text(record)).filter(|text| text != "-").map(Value::from)
            }
        }
    }

    /// Whether the record's field fits a pattern of the query language.
    fn fits(&self, pattern: &str, record: &Value) -> bool {
        match self.form {
            Form::Plain | Form::Size | Form::Percent => {
                satisfies(pattern.trim_end_matches('%'), &values_at(record, self.field))
            }
            Form::Words(_) | Form::Computed(_) => satisfies(pattern, &[&Value::from(self.text(record))]),
        }
    }
}

impl Table {
    /// The column of this name.
    pub(super) fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The records that fit the arguments named like columns.
    ///
    /// # Errors
    /// [`Failure`] of the management API.
    pub(super) fn find(
        &self,
        management: &mut Management<'_>,
        arguments: &Arguments,
    ) -> Result<Vec<Value>, Failure> {
        let filters: Vec<_> = arguments
            .iter()
            .filter_map(|(name, pattern)| self.column(name).map(|column| (column, pattern)))
            .collect();
        let plain = filters.iter().filter(|(column, _)| matches!(column.form, Form::Plain));
        let query: Vec<_> = plain.map(|(column, pattern)| (column.field, *pattern)).collect();
        let mut records = match self.source {
            Source::Collection(path) => management.records(path, &query)?,
            Source::Where(path, conditions) => {
                management.records(path, &[conditions, query.as_slice()].concat())?
            }
            Source::Within { parent, child, column } => {
                let name: Vec<_> = arguments.get(column).map(|name| ("name", name)).into_iter().collect();
                management.records_within(parent, child, &name)?
            }
        };
        records.retain(|record| filters.iter().all(|(column, pattern)| column.fits(pattern, record)));
        Ok(records)
    }

    /// What `show` prints.
    ///
    /// # Errors
    /// [`Failure`] of the management API, or for fields that there are not.
    pub(super) fn show(
        &self,
        management: &mut Management<'_>,
        arguments: &Arguments,
    ) -> Result<String, Failure> {
        let fields = arguments.get("fields").map(|names| self.fields(names)).transpose()?;
        let records = self.find(management, arguments)?;
        if records.is_empty() {
            return Ok("There are no entries matching your query.\n".to_owned());
        }
        let every_key = self.columns.iter().take(self.keys).all(|key| {
            arguments.get(key.name).is_some_and(|value| !value.contains(['*', '|', '!', '<', '>', '.']))
        });
        let mut text = match fields {
            Some(fields) => self.lines(&records, &fields),
            None if arguments.get("instance").is_some() || every_key => return Ok(self.instances(&records)),
            None => self.table(&records),
        };
        if records.len() > 1 {
            text.push_str(&format!("{} entries were displayed.\n", records.len()));
        }
        text.push('\n');
        Ok(text)
    }

    /// The keys and the named columns.
    fn fields(&self, names: &str) -> Result<Vec<&'static Column>, Failure> {
        let mut fields: Vec<_> = self.columns.iter().take(self.keys).collect();
        for name in names.split(',').map(str::trim) {
            let begun: Vec<_> = self.columns.iter().filter(|column| column.name.starts_with(name)).collect();
            let found = self.column(name).or(if let [one] = begun.as_slice() { Some(one) } else { None });
            let found = found.ok_or_else(|| {
                Failure(format!("Error: invalid argument \"{name}\" for field \"-fields\"."))
            })?;
            if !fields.iter().any(|field| field.name == found.name) {
                fields.push(found);
            }
        }
        Ok(fields)
    }

    /// One line a record, under names and dashes.
    fn lines(&self, records: &[Value], fields: &[&Column]) -> String {
        let heads = fields.iter().map(|field| (field.name.to_owned(), 0)).collect();
        let rows =
            records.iter().map(|record| fields.iter().map(|field| field.text(record)).collect()).collect();
        grid(heads, rows)
    }

    /// The columns that are shown unasked.
    fn table(&self, records: &[Value]) -> String {
        let columns: Vec<_> = self.shown.iter().filter_map(|(name, _, _)| self.column(name)).collect();
        let heads = self.shown.iter().map(|(_, head, width)| ((*head).to_owned(), *width)).collect();
        let rows =
            records.iter().map(|record| columns.iter().map(|column| column.text(record)).collect()).collect();
        grid(heads, rows)
    }

    /// One line a field, a blank line between records.
    fn instances(&self, records: &[Value]) -> String {
        let widest = self.columns.iter().map(|column| column.label.len()).max().unwrap_or(0);
        let mut text = String::new();
        for record in records {
            text.push('\n');
            for column in self.columns {
                // Writing to a string cannot fail.
                let _written = writeln!(text, "{:>widest$}: {}", column.label, column.text(record));
            }
        }
        text.push('\n');
        text
    }
}

/// Heads, dashes and rows, each column as wide as it needs.
fn grid(heads: Vec<(String, usize)>, rows: Vec<Vec<String>>) -> String {
    let width = |(index, (head, least)): (usize, &(String, usize))| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
        cells.chain([head.chars().count(), *least]).max().unwrap_or(0)
    };
    let widths: Vec<_> = heads.iter().enumerate().map(width).collect();
    let line = |cells: Vec<String>| {
        let padded: Vec<_> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join(" "))
    };
    let mut text = line(heads.iter().map(|(head, _)| head.clone()).collect());
    text.push_str(&line(widths.iter().map(|width| "-".repeat(*width)).collect()));
    rows.into_iter().for_each(|row| text.push_str(&line(row)));
    text
}

/// Bytes as the shell writes them: `1GB`, `972.8MB`.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [(&str, u32); 5] = [("PB", 50), ("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)];
    for (unit, shift) in UNITS {
        let one = 1_u64 << shift;
        if bytes >= one {
            let (whole, rest) = (bytes / one, bytes % one);
            if rest == 0 {
                return format!("{whole}{unit}");
            }
            // Four digits at most, and two behind the point, as ONTAP has it.
            let exact = bytes as f64 / one as f64;
            let digits = if whole >= 100 { 1 } else { 2 };
            return format!("{exact:.digits$}{unit}");
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_their_largest_unit() {
        let cases =
            [(0, "0B"), (512, "512B"), (1 << 30, "1GB"), (1_020_054_733, "972.8MB"), (3 << 29, "1.50GB")];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text);
        }
    }
}
