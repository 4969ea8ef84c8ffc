//! What a volume has besides a size and a place: autosize, efficiency, logical space, limits and
//! labels. They are kept and told; that autosize and efficiency do nothing to the data is in
//! `docs/fidelity.md`.

use serde::{Deserialize, Serialize};

use super::{Cluster, Refusal, SvmId};

/// When a volume changes its size by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autosize {
    /// `off`, `grow` or `grow_shrink`.
    pub mode: String,
    /// Bytes it does not fall below; the size at creation when absent.
    pub minimum: Option<u64>,
    /// Bytes it does not grow beyond; 120 % of the size at creation when absent.
    pub maximum: Option<u64>,
    /// Percent used at which it grows.
    pub grow_threshold: u64,
    /// Percent used at which it shrinks.
    pub shrink_threshold: u64,
}

impl Default for Autosize {
    fn default() -> Self {
        Self { mode: "off".into(), minimum: None, maximum: None, grow_threshold: 85, shrink_threshold: 50 }
    }
}

/// How a volume saves space, in ONTAP's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Efficiency {
    /// Whether it is on at all.
    pub enabled: bool,
    /// `none`, `inline`, `background` or `both`.
    pub compression: String,
    /// `none` or `inline`.
    pub compaction: String,
    /// `none`, `inline`, `background` or `both`.
    pub dedupe: String,
    /// `none`, `inline`, `background` or `both`.
    pub cross_volume_dedupe: String,
    /// Name of its policy.
    pub policy: String,
}

impl Default for Efficiency {
    fn default() -> Self {
        let none = || String::from("none");
        Self {
            enabled: false,
            compression: none(),
            compaction: none(),
            dedupe: none(),
            cross_volume_dedupe: none(),
            policy: "-".into(),
        }
    }
}

/// The features of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Features {
    /// Autosize.
    pub autosize: Autosize,
    /// Efficiency.
    pub efficiency: Efficiency,
    /// Whether the logical size is enforced.
    pub logical_enforcement: bool,
    /// Whether the logical size is reported.
    pub logical_reporting: bool,
    /// Inodes it may have; by its size when absent.
    pub files_maximum: Option<u64>,
    /// Name of its QoS policy.
    pub qos_policy: Option<String>,
    /// Tags, `key:value`.
    pub tags: Vec<String>,
    /// Whether quotas are enforced.
    pub quota: bool,
    /// Days after which cold blocks move to the cloud tier.
    pub cooling_days: Option<u64>,
    /// Whether the snapshots are deleted when space runs out.
    pub autodelete: bool,
    /// Whether reading changes access times.
    pub access_time: bool,
    /// Percent kept for overwrites.
    pub fractional_reserve: u64,
    /// File system analytics: `on` or `off`.
    pub analytics: bool,
    /// Activity tracking: `on` or `off`.
    pub activity_tracking: bool,
}

/// A change of features. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct FeaturePatch {
    /// Autosize mode.
    pub autosize_mode: Option<String>,
    /// Autosize minimum in bytes.
    pub autosize_minimum: Option<u64>,
    /// Autosize maximum in bytes.
    pub autosize_maximum: Option<u64>,
    /// Autosize grow threshold in percent.
    pub grow_threshold: Option<u64>,
    /// Autosize shrink threshold in percent.
    pub shrink_threshold: Option<u64>,
    /// Efficiency on or off.
    pub efficiency: Option<bool>,
    /// Compression.
    pub compression: Option<String>,
    /// Compaction.
    pub compaction: Option<String>,
    /// Deduplication.
    pub dedupe: Option<String>,
    /// Deduplication across volumes.
    pub cross_volume_dedupe: Option<String>,
    /// Name of the efficiency policy.
    pub efficiency_policy: Option<String>,
    /// Logical space enforced.
    pub logical_enforcement: Option<bool>,
    /// Logical space reported.
    pub logical_reporting: Option<bool>,
    /// Inodes.
    pub files_maximum: Option<u64>,
    /// Name of the QoS policy; `none` takes it away.
    pub qos_policy: Option<String>,
    /// Tags.
    pub tags: Option<Vec<String>>,
    /// Quotas on or off.
    pub quota: Option<bool>,
    /// Days to cool.
    pub cooling_days: Option<u64>,
    /// Snapshot autodelete.
    pub autodelete: Option<bool>,
    /// Access times.
    pub access_time: Option<bool>,
    /// Percent kept for overwrites.
    pub fractional_reserve: Option<u64>,
    /// Analytics.
    pub analytics: Option<bool>,
    /// Activity tracking.
    pub activity_tracking: Option<bool>,
}

impl Cluster {
    /// The features as they would be, or why not.
    pub(super) fn revised_features(
        &self,
        svm: SvmId,
        before: &Features,
        patch: FeaturePatch,
    ) -> Result<Features, Refusal> {
        let mut after = before.clone();
        after.autosize = revised_autosize(&before.autosize, &patch)?;
        after.efficiency = revised_efficiency(&before.efficiency, &patch)?;
        if let Some(name) = patch.qos_policy {
            after.qos_policy = if name.is_empty() || name == "none" {
                None
            } else {
                self.require_qos_policy(svm, &name)?;
                Some(name)
            };
        }
        if let Some(days) = patch.cooling_days {
            if !(2..=183).contains(&days) {
                return Err(Refusal::invalid("tiering.min_cooling_days", &days.to_string()));
            }
            after.cooling_days = Some(days);
        }
        if let Some(percent) = patch.fractional_reserve {
            if percent != 0 && percent != 100 {
                return Err(Refusal::invalid("space.fractional_reserve", &percent.to_string()));
            }
            after.fractional_reserve = percent;
        }
        after.files_maximum = patch.files_maximum.or(after.files_maximum);
        after.tags = patch.tags.unwrap_or(after.tags);
        after.logical_enforcement = patch.logical_enforcement.unwrap_or(after.logical_enforcement);
        after.logical_reporting = patch.logical_reporting.unwrap_or(after.logical_reporting);
        after.quota = patch.quota.unwrap_or(after.quota);
        after.autodelete = patch.autodelete.unwrap_or(after.autodelete);
        after.access_time = patch.access_time.unwrap_or(after.access_time);
        after.analytics = patch.analytics.unwrap_or(after.analytics);
        after.activity_tracking = patch.activity_tracking.unwrap_or(after.activity_tracking);
        Ok(after)
    }
}

impl Cluster {
    /// The QoS policy that `name` must name.
    ///
    /// # Errors
    /// A [`Refusal`] (8454154).
    pub(super) fn require_qos_policy(&self, svm: SvmId, name: &str) -> Result<(), Refusal> {
        if self.find_qos_policy(svm, name).is_some() {
            return Ok(());
        }
        let message = format!("QoS policy \"{name}\" does not exist");
        Err(Refusal::missing(8_454_154, message).about("qos.policy.name").when_executed())
    }
}

fn revised_autosize(before: &Autosize, patch: &FeaturePatch) -> Result<Autosize, Refusal> {
    let mut after = before.clone();
    choose(&mut after.mode, patch.autosize_mode.as_ref(), "autosize.mode", &["off", "grow", "grow_shrink"])?;
    after.minimum = patch.autosize_minimum.or(after.minimum);
    after.maximum = patch.autosize_maximum.or(after.maximum);
    for (place, percent, field) in [
        (&mut after.grow_threshold, patch.grow_threshold, "autosize.grow_threshold"),
        (&mut after.shrink_threshold, patch.shrink_threshold, "autosize.shrink_threshold"),
    ] {
        if let Some(percent) = percent {
            if percent > 100 {
                return Err(Refusal::invalid(field, &percent.to_string()));
            }
            *place = percent;
        }
    }
    Ok(after)
}

fn revised_efficiency(before: &Efficiency, patch: &FeaturePatch) -> Result<Efficiency, Refusal> {
    const WAYS: [&str; 4] = ["none", "inline", "background", "both"];
    let mut after = before.clone();
    choose(&mut after.compression, patch.compression.as_ref(), "efficiency.compression", &WAYS)?;
    choose(&mut after.compaction, patch.compaction.as_ref(), "efficiency.compaction", &["none", "inline"])?;
    choose(&mut after.dedupe, patch.dedupe.as_ref(), "efficiency.dedupe", &WAYS)?;
    let across = patch.cross_volume_dedupe.as_ref();
    choose(&mut after.cross_volume_dedupe, across, "efficiency.cross_volume_dedupe", &WAYS)?;
    if let Some(policy) = &patch.efficiency_policy {
        after.policy.clone_from(policy);
    }
    // Choosing a way of saving turns saving on, as on the array.
    let chosen = [&patch.compression, &patch.dedupe, &patch.cross_volume_dedupe];
    after.enabled |= chosen.into_iter().flatten().any(|way| way != "none");
    after.enabled = patch.efficiency.unwrap_or(after.enabled);
    Ok(after)
}

/// Sets `place` to one of the words that the field takes.
fn choose(place: &mut String, value: Option<&String>, field: &str, words: &[&str]) -> Result<(), Refusal> {
    match value {
        Some(value) if words.contains(&value.as_str()) => value.clone_into(place),
        Some(value) => return Err(Refusal::invalid(field, value)),
        None => {}
    }
    Ok(())
}
