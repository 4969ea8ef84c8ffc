//! Names on the array, a function of the claim's name alone: a retry after a crash finds what the
//! first attempt made.
//!
//! Arrays allow fewer characters than CSI. Where a name loses something on the way, a digest of the
//! whole is appended, so that two claims never share a volume.

use contract::NodeId;
use uuid::Uuid;

/// Longest name of an ONTAP volume.
const ONTAP_VOLUME_LIMIT: usize = 203;
/// Longest name of a SolidFire volume.
const ELEMENT_VOLUME_LIMIT: usize = 64;
/// Longest name of an igroup.
const IGROUP_LIMIT: usize = 96;

/// `<prefix><name>`, letters, digits and `_` only, first character no digit.
pub fn ontap_volume(prefix: &str, name: &str) -> String {
    confined(prefix, name, '_', ONTAP_VOLUME_LIMIT)
}

/// `<prefix><name>`, letters, digits and `-` only, at most 64 of them.
pub fn element_volume(prefix: &str, name: &str) -> String {
    confined(prefix, name, '-', ELEMENT_VOLUME_LIMIT)
}

/// Letters, digits and `-` only, at most 64 of them: what both arrays take for a snapshot.
pub fn snapshot(name: &str) -> String {
    confined("", name, '-', ELEMENT_VOLUME_LIMIT)
}

/// igroup of a node, one a controller: `<node>-<controller>`. It holds no query operator of the
/// array's REST API (`..` is a range, `*` `|` `!` `<` `>` are not allowed at all).
pub fn igroup(node: &NodeId, controller: Uuid) -> String {
    let suffix = format!("-{controller}");
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let room = IGROUP_LIMIT - suffix.len();
    let node = node.as_str();
    if node.len() <= room && node.chars().all(allowed) && !node.contains("..") {
        return format!("{node}{suffix}");
    }
    let digest = digest(node);
    let kept: String =
        node.chars().filter(|c| *c != '.' && allowed(*c)).take(room - digest.len() - 1).collect();
    format!("{kept}-{digest}{suffix}")
}

fn confined(prefix: &str, name: &str, filler: char, limit: usize) -> String {
    let confine = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { filler }).collect()
    };
    let whole = format!("{}{}", confine(prefix), confine(name));
    // Claim names are made of letters, digits and `-`; anything else could meet another name here.
    let lossless = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && whole.len() <= limit
        && !(filler == '_' && whole.starts_with(|c: char| c.is_ascii_digit()));
    if lossless {
        return whole;
    }
    let digest = digest(name);
    let lead = if whole.starts_with(|c: char| c.is_ascii_alphabetic() || c == filler) { "" } else { "v" };
    let kept: String = whole.chars().take(limit - digest.len() - 2).collect();
    format!("{lead}{kept}{filler}{digest}")
}

/// 16 hexadecimal digits that stand for `text`.
fn digest(text: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string().chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_has_the_name_administrators_know() {
        let name = "pvc-5e3f2b1c-0a0b-4c4d-8e8f-001122334455";
        assert_eq!(ontap_volume("trident_", name), "trident_pvc_5e3f2b1c_0a0b_4c4d_8e8f_001122334455");
        assert_eq!(element_volume("trident_", name), "trident-pvc-5e3f2b1c-0a0b-4c4d-8e8f-001122334455");
        assert_eq!(ontap_volume("trident_", "trident-basic-f4048"), "trident_trident_basic_f4048");
    }

    #[test]
    fn names_that_would_meet_on_the_array_are_kept_apart() {
        for (a, b) in [("a-b", "a_b"), ("a.b", "a_b"), ("ä", "ö")] {
            assert_ne!(ontap_volume("t_", a), ontap_volume("t_", b));
            assert_ne!(element_volume("t_", a), element_volume("t_", b));
        }
        let (long, longer) = ("x".repeat(127), "x".repeat(128));
        assert_ne!(element_volume("t_", &long), element_volume("t_", &longer));
    }

    #[test]
    fn no_name_breaks_the_arrays_rules() {
        for name in ["1", "-", "a/b", "名前", &"9".repeat(128), &"é".repeat(64)] {
            for prefix in ["", "trident_", &"p".repeat(40)] {
                let ontap = ontap_volume(prefix, name);
                assert!(ontap.len() <= ONTAP_VOLUME_LIMIT, "{ontap}");
                assert!(ontap.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{ontap}");
                assert!(!ontap.starts_with(|c: char| c.is_ascii_digit()), "{ontap}");
                let element = element_volume(prefix, name);
                assert!((1..=ELEMENT_VOLUME_LIMIT).contains(&element.len()), "{element}");
                assert!(element.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{element}");
            }
        }
    }

    #[test]
    fn the_name_of_an_igroup_is_no_query_of_several() {
        let name = |node: &str| node.parse().map(|node: NodeId| igroup(&node, Uuid::nil()));
        let mut tried = 0;
        for node in ["a..z", "n.*.", "a|b", "!a", "<a", "a>..b"] {
            let Ok(name) = name(node) else { continue };
            tried += 1;
            assert!(!name.contains("..") && !name.contains(['*', '|', '!', '<', '>']), "{name}");
        }
        assert!(tried > 0);
        assert_ne!(name("a..z").unwrap(), name("az").unwrap());
    }

    #[test]
    fn an_igroup_carries_node_and_controller_within_96_characters() {
        let controller = Uuid::nil();
        let node: NodeId = "worker-1.example.com".parse().unwrap();
        assert_eq!(igroup(&node, controller), "worker-1.example.com-00000000-0000-0000-0000-000000000000");
        let (a, b) = (format!("{}1", "n".repeat(80)), format!("{}2", "n".repeat(80)));
        let (a, b) = (igroup(&a.parse().unwrap(), controller), igroup(&b.parse().unwrap(), controller));
        assert!(a.len() <= IGROUP_LIMIT && b.len() <= IGROUP_LIMIT);
        assert_ne!(a, b);
    }
}
