//! `/storage/file/clone`.

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::require_volume;
use crate::state::{Cluster, Refusal};

/// Tokens are not taken; what says only how space is shared, or that a clone is a backup, is without effect.
pub(super) const CLONES: Resource = Resource {
    path: "storage/file/clone",
    creatable: &[
        "volume.name",
        "volume.uuid",
        "svm.name",
        "svm.uuid",
        "source_path",
        "destination_path",
        "range",
        "overwrite_destination",
        "is_backup",
        "autodelete",
        "nosplit_entry",
        "bypass_throttle",
    ],
    asynchronous: true,
    create: Some(clone),
    ..NOTHING
};

fn clone(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let volume = require_volume(cluster, scope, body)?;
    if scope.svm.is_some_and(|svm| cluster.volumes.get(&volume).is_none_or(|found| found.svm != svm)) {
        return Err(Refusal::no_entry());
    }
    let replace = body.boolean("overwrite_destination")?.unwrap_or(false);
    let (source, destination) = (body.required_text("source_path")?, body.required_text("destination_path")?);
    match body.texts("range")? {
        Some(texts) if !texts.is_empty() => {
            let range = |text: &String| text.parse().map_err(|_| Refusal::invalid("range", text));
            let ranges = texts.iter().map(range).collect::<Result<_, _>>()?;
            cluster.clone_blocks(volume, &source, &destination, ranges)?;
        }
        _ => cluster.clone_file(volume, &source, &destination, replace)?,
    }
    Ok(Vec::new())
}
