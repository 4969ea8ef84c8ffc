//! Facts as text, a line each: for the agent's log and for the transcripts of plans.

use core::fmt::{Display, Formatter, Result};

use crate::facts::{Content, Facts, MapFact, MountFact, PathFact, Probe, SessionFact};

impl Display for Facts {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for mount in &self.mounts {
            writeln!(f, "{mount}")?;
        }
        match &self.target {
            Probe::Present(kind) => writeln!(f, "target is a {kind:?}")?,
            Probe::Absent => {}
            Probe::Unknown(why) => writeln!(f, "target unknown: {why}")?,
        }
        for session in &self.sessions {
            writeln!(f, "{session}")?;
        }
        for portal in &self.node_records {
            writeln!(f, "node record for {portal}")?;
        }
        for path in &self.paths {
            writeln!(f, "{path}")?;
        }
        match &self.map {
            Probe::Present(map) => writeln!(f, "{map}")?,
            Probe::Absent => writeln!(f, "no map")?,
            Probe::Unknown(why) => writeln!(f, "map unknown: {why}")?,
        }
        match &self.content {
            Probe::Present(content) => writeln!(f, "content: {content}"),
            Probe::Absent => writeln!(f, "content absent"),
            Probe::Unknown(why) => writeln!(f, "content unknown: {why}"),
        }
    }
}

impl Display for MountFact {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { id, device, root, mount_point, fs_type, source, super_options, .. } = self;
        let access = if self.read_only { "ro" } else { "rw" };
        write!(
            f,
            "mount {id} {device} {root} at {mount_point} {access} {fs_type} {source} ({super_options})"
        )?;
        match self.node_of {
            Some(device) => write!(f, ", node of {device}"),
            None => Ok(()),
        }
    }
}

impl Display for SessionFact {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { sid, host, target, portal, state, other_luns } = self;
        write!(f, "session {sid} host {host} {target} at {portal} {state:?}, {other_luns} other LUNs")
    }
}

impl Display for PathFact {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "path {} {} {} {:?}", self.name, self.hctl, self.number, self.state)?;
        match &self.identity {
            Probe::Present(shown) => write!(f, " WWID {} serial {}", shown.wwid, shown.serial)?,
            Probe::Absent => write!(f, " without identity")?,
            Probe::Unknown(why) => write!(f, " identity unknown: {why}")?,
        }
        match &self.size {
            Probe::Present(size) => write!(f, " {size} bytes")?,
            Probe::Absent | Probe::Unknown(_) => write!(f, " size unknown")?,
        }
        write!(f, "{}{}", List(", held by", &self.holders), if self.mounted { ", mounted" } else { "" })
    }
}

impl Display for MapFact {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, wwid, number, size, open_count, .. } = self;
        write!(f, "map {name} {wwid} {number} {size} bytes, opened {open_count}")?;
        let lists = [(", paths", &self.paths), (", usable", &self.usable), (", held by", &self.holders)];
        lists.iter().try_for_each(|(title, items)| write!(f, "{}", List(title, items)))
    }
}

impl Display for Content {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Blank(scan) => write!(f, "blank, {} areas of {} read", scan.areas.len(), scan.device),
            Self::Filesystem(found) => write!(f, "{} {}", found.kind, found.uuid),
            Self::Foreign(what) => write!(f, "foreign, {what}"),
        }
    }
}

struct List<'a>(&'a str, &'a [String]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.1.is_empty() { Ok(()) } else { write!(f, "{} {}", self.0, self.1.join(" ")) }
    }
}
