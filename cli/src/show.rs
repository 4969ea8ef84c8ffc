//! Objects as tables, JSON and names.

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use fleet_proto::admin::{Backend, Node, Pool, Volume};
use serde_json::{Value, json};

use crate::Refusal;
use crate::arguments::Format;

/// An object that can be shown.
pub(crate) trait Shown {
    /// As the command line calls it.
    const KIND: &'static str;
    /// Columns of the table, those of `-o wide` after the others.
    const COLUMNS: &'static [&'static str];
    /// How many of the columns the ordinary table has.
    const NARROW: usize;

    fn name(&self) -> &str;
    /// One cell a column.
    fn row(&self) -> Vec<String>;
    fn json(&self) -> Value;
}

/// All, or the one of that name.
pub(crate) fn select<T: Shown>(objects: Vec<T>, name: Option<String>) -> Result<Vec<T>, Refusal> {
    let Some(name) = name else { return Ok(objects) };
    let found: Vec<_> = objects.into_iter().filter(|object| object.name() == name).collect();
    if found.is_empty() {
        return Err(Refusal::NotFound { kind: T::KIND, name });
    }
    Ok(found)
}

pub(crate) fn print<T: Shown>(objects: &[T], format: Option<Format>) -> Result<(), Refusal> {
    match format {
        Some(Format::Json) => {
            let items: Vec<_> = objects.iter().map(Shown::json).collect();
            lines(&[format!("{:#}", json!({ "items": items }))])
        }
        Some(Format::Name) => {
            lines(&objects.iter().map(|object| object.name().to_owned()).collect::<Vec<_>>())
        }
        Some(Format::Wide) => lines(&[table(objects, T::COLUMNS.len())]),
        None => lines(&[table(objects, T::NARROW)]),
    }
}

/// A reader that has seen enough (`tinectl get volume | head`) is no error.
pub(crate) fn lines(lines: &[String]) -> Result<(), Refusal> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

fn table<T: Shown>(objects: &[T], columns: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(T::COLUMNS.iter().take(columns));
    for object in objects {
        table.add_row(object.row().into_iter().take(columns));
    }
    table.to_string()
}

impl Shown for Backend {
    const KIND: &'static str = "backend";
    const COLUMNS: &'static [&'static str] =
        &["NAME", "STORAGE DRIVER", "STATE", "VOLUMES", "UUID", "POOLS", "REASON"];
    const NARROW: usize = 4;

    fn name(&self) -> &str {
        &self.name
    }

    fn row(&self) -> Vec<String> {
        let pools: Vec<_> = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        vec![
            self.name.clone(),
            self.driver.clone(),
            self.state.clone(),
            self.volumes.to_string(),
            self.uuid.clone(),
            pools.join(","),
            self.reason.clone(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "uuid": self.uuid,
            "driver": self.driver,
            "state": self.state,
            "reason": self.reason,
            "volumes": self.volumes,
            "pools": self.pools.iter().map(pool).collect::<Vec<_>>(),
        })
    }
}

fn pool(pool: &Pool) -> Value {
    // In the order of names, so that two prints of the same state are the same text.
    let attributes: std::collections::BTreeMap<_, _> = pool.attributes.iter().collect();
    json!({ "name": pool.name, "attributes": attributes })
}

impl Shown for Volume {
    const KIND: &'static str = "volume";
    const COLUMNS: &'static [&'static str] = &[
        "NAME",
        "SIZE",
        "STORAGE CLASS",
        "PROTOCOL",
        "BACKEND",
        "POOL",
        "VOLUME ID",
        "INTERNAL NAME",
        "PUBLISHED TO",
    ];
    const NARROW: usize = 6;

    fn name(&self) -> &str {
        &self.name
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            size(self.size),
            self.storage_class.clone(),
            self.protocol.clone(),
            self.backend.clone(),
            self.pool.clone(),
            self.volume_id.clone(),
            self.internal_name.clone(),
            self.published_to.join(","),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "volumeId": self.volume_id,
            "size": self.size,
            "storageClass": self.storage_class,
            "protocol": self.protocol,
            "backend": self.backend,
            "pool": self.pool,
            "internalName": self.internal_name,
            "publishedTo": self.published_to,
        })
    }
}

impl Shown for Node {
    const KIND: &'static str = "node";
    const COLUMNS: &'static [&'static str] =
        &["NAME", "CONNECTED", "ATTACHMENTS", "DEFECTS", "IQN", "ADDRESSES", "AGENT", "LAST SEEN"];
    const NARROW: usize = 4;

    fn name(&self) -> &str {
        &self.node_id
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.node_id.clone(),
            self.connected.to_string(),
            self.attachments.len().to_string(),
            self.defects.len().to_string(),
            self.iqn.clone(),
            self.addresses.join(","),
            self.agent_version.clone(),
            self.last_seen.to_string(),
        ]
    }

    fn json(&self) -> Value {
        let attachments: Vec<_> = self
            .attachments
            .iter()
            .map(|attachment| {
                json!({
                    "volumeId": attachment.volume_id,
                    "phase": attachment.phase,
                    "pathsExpected": attachment.paths_expected,
                    "pathsUsable": attachment.paths_usable,
                    "message": attachment.message,
                })
            })
            .collect();
        json!({
            "name": self.node_id,
            "iqn": self.iqn,
            "addresses": self.addresses,
            "connected": self.connected,
            "lastSeen": self.last_seen,
            "attachments": attachments,
            "defects": self.defects,
            "agentVersion": self.agent_version,
        })
    }
}

/// Bytes in the unit people think in, one decimal: `1.0GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{}{}", tenths / 10, tenths % 10, UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shown_in_the_unit_people_think_in() {
        assert_eq!(size(0), "0.0B");
        assert_eq!(size(1 << 30), "1.0GiB");
        assert_eq!(size(1_000_341_504), "954.0MiB");
        assert_eq!(size(20 << 40), "20.0TiB");
    }

    #[test]
    fn the_tables_have_the_columns_administrators_know() {
        let backend = Backend {
            name: "b1".into(),
            driver: "ontap-nas".into(),
            state: "online".into(),
            ..Default::default()
        };
        assert_eq!(
            table(&[backend], Backend::NARROW),
            "| NAME | STORAGE DRIVER | STATE  | VOLUMES |\n\
             |------|----------------|--------|---------|\n\
             | b1   | ontap-nas      | online | 0       |"
        );
    }

    #[test]
    fn asking_for_a_name_that_is_not_there_names_it() {
        let error = select(vec![Volume::default()], Some("pvc-1".into())).unwrap_err();
        assert_eq!(error.to_string(), "volume pvc-1 does not exist: see `tinectl get volume`");
    }
}
