//! Tables of the status page.

use maud::{Markup, html};
use serde_json::Value;

use crate::control::portrait::{Cell, Lever, Portrait, Row, Section};

pub(super) fn facts(portrait: &Portrait) -> Markup {
    html! {
        section #facts {
            dl {
                @for (name, value) in &portrait.facts { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

pub(super) fn section(section: &Section) -> Markup {
    let pulled = section.rows.iter().any(|row| !row.levers.is_empty());
    html! {
        section id=(section.id) {
            h2 { (section.title) " " small { (section.total) } }
            @if section.rows.is_empty() {
                p .empty { (section.empty) }
            } @else {
                div .scroll { table {
                    thead { tr {
                        @for column in section.columns { th scope="col" { (column) } }
                        @if pulled { th scope="col" { "Levers" } }
                    } }
                    tbody { @for row in &section.rows { (table_row(row, pulled)) } }
                } }
                @if section.total > section.rows.len() {
                    p .empty { "… and " (section.total.saturating_sub(section.rows.len())) " more, in the array's own API" }
                }
            }
        }
    }
}

fn table_row(row: &Row, pulled: bool) -> Markup {
    html! {
        tr data-key=(row.key) {
            @for cell in &row.cells { (table_cell(cell)) }
            @if pulled { td .levers { @for lever in &row.levers { (control(lever)) } } }
        }
    }
}

fn table_cell(cell: &Cell) -> Markup {
    match cell {
        Cell::Text(text) => html! { td { (text) } },
        Cell::Code(text) => html! { td { code title=(text) { (text) } } },
        Cell::Bytes(bytes) => html! { td .number { (size(*bytes)) } },
        Cell::Share { used, of } => {
            let percent = used.saturating_mul(100).checked_div(*of).unwrap_or(0).min(100);
            html! { td .number { (size(*used)) " of " (size(*of)) " " meter min="0" max="100" high="90" value=(percent) {} } }
        }
        Cell::State { text, well } => {
            html! { td { span .state data-well=(if *well { "yes" } else { "no" }) { (text) } } }
        }
        Cell::Rate(bytes) => html! { td .number data-counter="bytes" data-value=(bytes) { (size(*bytes)) } },
        Cell::Operations(count) => {
            html! { td .number data-counter="operations" data-value=(count) { (count) } }
        }
    }
}

/// One lever: a choice of bodies that is sent when it is made, or a button.
pub(super) fn control(lever: &Lever) -> Markup {
    let chosen = lever.choices.iter().position(|(_, body)| *body == lever.now);
    html! {
        @match lever.choices.as_slice() {
            [] | [_] => {
                @let body = lever.choices.first().map_or(Value::Null, |(_, body)| body.clone());
                button type="button" data-method=(lever.method) data-path=(lever.path) data-body=(body) { (lever.label) }
            }
            choices => {
                label .lever data-set=(if chosen == Some(0) { "no" } else { "yes" }) {
                    (lever.label) " "
                    select data-method=(lever.method) data-path=(lever.path) {
                        @for (place, (name, body)) in choices.iter().enumerate() {
                            option value=(body) selected[chosen == Some(place)] { (name) }
                        }
                        @if chosen.is_none() { option value=(lever.now) selected { "as set" } }
                        option value="" data-now=(lever.now) { "other…" }
                    }
                }
            }
        }
    }
}

/// `1.5 GiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut tenths = bytes.saturating_mul(10);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 || tenths.is_multiple_of(10) {
        format!("{} {name}", tenths / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_written_as_people_read_them() {
        let sizes = [0, 512, 1024, 1536, 1 << 30, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "512 B", "1 KiB", "1.5 KiB", "1 GiB", "1638.3 PiB"]);
    }

    #[test]
    fn what_comes_from_outside_is_text_wherever_it_stands() {
        let evil = "<script>alert(1)</script>\"'&";
        let lever = Lever {
            label: "fault",
            method: "PUT",
            path: evil.into(),
            choices: vec![("a", json!({ "a": evil })), ("b", json!({}))],
            now: json!({ "now": evil }),
        };
        let cells = vec![
            Cell::Text(evil.into()),
            Cell::Code(evil.into()),
            Cell::State { text: evil.into(), well: true },
        ];
        let row = Row { key: evil.into(), cells, levers: vec![lever] };
        let section_of =
            Section { id: "s", title: "S", columns: &["A"], rows: vec![row], total: 1, empty: "" };
        let markup = section(&section_of).into_string();
        assert!(!markup.contains("<script>") && markup.contains("&lt;script&gt;"), "{markup}");
        // An attribute ends at a double quote: there is none but those of the markup.
        assert!(!markup.contains("\"'&amp;") && !markup.contains(r#"\"'"#), "{markup}");
    }
}
