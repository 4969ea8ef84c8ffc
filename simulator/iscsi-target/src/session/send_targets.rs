//! SendTargets (RFC 7143 §5.3, appendix C): the targets an initiator may reach, with their portals.

use std::net::SocketAddr;

use super::Session;
use crate::chap::Credentials;
use crate::directory::Registry;
use crate::target::{Auth, Target, normal_name};
use crate::text::Text;

/// The answer to `SendTargets=which`.
pub(super) fn records(session: &Session, which: &str) -> Text {
    let peer = &session.login.peer;
    let mut records = Text::default();
    for view in session.registry.views() {
        let name = normal_name(&view.target.iqn);
        let wanted = match (which, &peer.target) {
            ("All", None) => true,
            // In a normal session the empty value is "this target".
            ("", Some(own)) => *own == name,
            _ => normal_name(which) == name,
        };
        // A normal session has proven itself to its own target.
        let reachable = match &peer.target {
            Some(own) => *own == name,
            None => may_reach(&view.target, &peer.initiator, session.login.proven.as_ref()),
        };
        if wanted && reachable && view.target.portals.contains(&session.place.portal) {
            push_target(&mut records, &view.target, &session.registry, session.place.local);
        }
    }
    records
}

/// Whether a discovery session that proved this much may know of the target.
fn may_reach(target: &Target, initiator: &str, proven: Option<&Credentials>) -> bool {
    match target.auth_for(initiator) {
        Auth::Open => true,
        Auth::Deny => false,
        auth => Credentials::of(auth).as_ref() == proven,
    }
}

fn push_target(records: &mut Text, target: &Target, registry: &Registry, local: SocketAddr) {
    records.push("TargetName", target.iqn.as_str());
    for address in &target.portals {
        if let Some(portal) = registry.find_portal(*address) {
            // A portal on every address is told as the one the initiator dialled.
            let mut told = *address;
            if told.ip().is_unspecified() {
                told.set_ip(local.ip());
            }
            records.push("TargetAddress", format!("{told},{}", portal.tag));
        }
    }
}
