//! The array's nouns in the words of the data planes.

use iscsi_target::{Auth, ChapSecret};
use nfs_server::{AuthRule, ExportPolicy as WirePolicy, ExportRule as WireRule};
use tracing::warn;

use crate::state::export::{ExportPolicy, ExportRule, Flavours};
use crate::state::iscsi::{Authentication, ChapUser};

/// uid that callers become whom nobody knows, where a rule names none that we understand.
const NOBODY: u32 = 65_534;

pub(super) fn wire_auth(authentication: Authentication) -> Auth {
    let secret = |user: ChapUser| (user.user, ChapSecret::new(user.password));
    match authentication {
        Authentication::None => Auth::Open,
        Authentication::Deny => Auth::Deny,
        Authentication::Chap { inbound, outbound } => {
            let (user, password) = secret(inbound);
            Auth::Chap { user, secret: password, mutual: outbound.map(secret) }
        }
    }
}

pub(super) fn wire_policy(policy: &ExportPolicy) -> WirePolicy {
    let rules = policy.rules.iter().filter(|(_, rule)| rule.concerns_nfs());
    WirePolicy {
        name: policy.name.clone(),
        rules: rules.filter_map(|(index, rule)| wire_rule(&policy.name, *index, rule)).collect(),
    }
}

/// The rule with the client matches that can be judged here. Names need a directory that the
/// simulator has not: such a match fits nobody.
fn wire_rule(policy: &str, index: u32, rule: &ExportRule) -> Option<WireRule> {
    let judged = |client: &String| match client.parse() {
        Ok(client) => Some(client),
        Err(error) => {
            warn!(policy, index, %error, "the export rule's client fits nobody");
            None
        }
    };
    let clients: Vec<_> = rule.clients.iter().filter_map(judged).collect();
    (!clients.is_empty()).then(|| WireRule {
        index,
        clients,
        ro: wire_flavours(&rule.ro),
        rw: wire_flavours(&rule.rw),
        superuser: wire_flavours(&rule.superuser),
        anonymous_uid: match rule.anonymous_user.as_str() {
            "root" => 0,
            user => user.parse().unwrap_or(NOBODY),
        },
    })
}

/// Kerberos is not served: a rule for it alone admits nobody.
pub(super) fn wire_flavours(flavours: &Flavours) -> AuthRule {
    match flavours {
        any if any.has("any") => AuthRule::Any,
        sys if sys.has("sys") => AuthRule::Sys,
        none if none.has("none") => AuthRule::None,
        _ => AuthRule::Never,
    }
}
