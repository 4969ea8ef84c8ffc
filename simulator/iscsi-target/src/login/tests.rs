//! Logins as an initiator would play them, on PDUs.

use super::*;
use crate::chap::{from_text, to_hex};
use crate::target::ChapSecret;

const IQN: &str = "iqn.1992-08.com.netapp:sn.1:vs.4";

struct OneTarget(Auth);

impl Directory for OneTarget {
    fn find_target(&self, iqn: &str, _initiator: &str) -> Option<TargetEntry> {
        (iqn == IQN).then(|| TargetEntry { tag: 1030, alias: None, auth: self.0.clone(), redirect: None })
    }

    fn all_credentials(&self, _initiator: &str) -> Vec<Credentials> {
        Credentials::of(&self.0).into_iter().collect()
    }

    fn find_session(&self, tsih: u16, _peer: &Peer, connection: u16) -> Handle {
        match (tsih, connection) {
            (5, 0) => Handle::SameConnection,
            (5, _) => Handle::OtherConnection,
            _ => Handle::Unknown,
        }
    }
}

fn login() -> Login {
    Login::new(&ChapAlgorithm::ALL)
}

fn chap() -> OneTarget {
    OneTarget(Auth::Chap { user: "u".into(), secret: ChapSecret::new("secret"), mutual: None })
}

fn request(stage: u8, next: Option<u8>, pairs: &[(&str, &str)]) -> Pdu {
    let mut text = Text::default();
    for (key, value) in pairs {
        text.push(key, *value);
    }
    let flags = stage << 2 | next.map_or(0, |next| 0x80 | next);
    Pdu::new(0x43, flags)
        .with(8, &[0, 2, 0x3d, 0, 0, 1])
        .with_task_tag(7)
        .with_u32(24, 1)
        .with_data(text.to_bytes())
}

fn names(target: &str) -> Vec<(&str, &str)> {
    vec![("InitiatorName", "IQN.2026-11.example:A"), ("SessionType", "Normal"), ("TargetName", target)]
}

fn refusal(step: Step) -> (u8, u8) {
    match step {
        Step::Refuse(response, _) => (response.header[36], response.header[37]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_open_target_is_reached_in_two_stages() {
    let mut login = login();
    let mut pairs = names(IQN);
    pairs.push(("AuthMethod", "None"));
    let Step::Reply(first) = login.answer(&request(0, Some(1), &pairs), &OneTarget(Auth::Open)) else {
        panic!("a reply")
    };
    assert_eq!(first.flags(), 0x81, "transit from security to operational");
    let mut text = Text::parse(&first.data).unwrap();
    assert_eq!(text.take("AuthMethod").as_deref(), Some("None"));
    assert_eq!(text.take("TargetPortalGroupTag").as_deref(), Some("1030"));
    let step = login.answer(&request(1, Some(3), &[("HeaderDigest", "CRC32C")]), &OneTarget(Auth::Open));
    let Step::Complete(last, accepted) = step else { panic!("{step:?}") };
    assert_eq!(last.flags(), 0x87);
    assert_eq!(last.u32(24), first.u32(24) + 1, "StatSN goes up by one a response");
    assert!(accepted.parameters.digests.header);
    assert_eq!(accepted.peer.initiator, "iqn.2026-11.example:a");
    assert_eq!((accepted.exp_cmd_sn, accepted.stat_sn), (1, last.u32(24) + 1));
}

#[test]
fn an_unknown_target_and_a_denied_initiator_are_told_apart() {
    let mut pairs = names("iqn.2026-11.example:other");
    let step = login().answer(&request(0, None, &pairs), &OneTarget(Auth::Open));
    assert_eq!(refusal(step), (2, 3));
    pairs = names(IQN);
    let step = login().answer(&request(0, None, &pairs), &OneTarget(Auth::Deny));
    assert_eq!(refusal(step), (2, 2));
}

#[test]
fn chap_cannot_be_skipped() {
    let mut offered = names(IQN);
    offered.push(("AuthMethod", "None"));
    assert_eq!(refusal(login().answer(&request(0, Some(1), &offered), &chap())), (2, 1));
    assert_eq!(refusal(login().answer(&request(1, Some(3), &names(IQN)), &chap())), (2, 1));
    // The T bit without a word about authentication leaves the stage where it is.
    let Step::Reply(reply) = login().answer(&request(0, Some(1), &names(IQN)), &chap()) else {
        panic!("a reply")
    };
    assert_eq!(reply.flags(), 0);
}

#[test]
fn chap_admits_the_secret_and_nothing_else() {
    for (secret, admitted) in [("secret", true), ("secrets", false)] {
        let mut login = login();
        let mut pairs = names(IQN);
        pairs.push(("AuthMethod", "CHAP,None"));
        login.answer(&request(0, Some(1), &pairs), &chap());
        let Step::Reply(reply) = login.answer(&request(0, None, &[("CHAP_A", "5")]), &chap()) else {
            panic!("a challenge")
        };
        let mut text = Text::parse(&reply.data).unwrap();
        let identifier = text.take("CHAP_I").unwrap().parse().unwrap();
        let challenge = from_text(&text.take("CHAP_C").unwrap()).unwrap();
        let response = to_hex(&ChapAlgorithm::Md5.respond(identifier, &ChapSecret::new(secret), &challenge));
        let pairs = [("CHAP_N", "u"), ("CHAP_R", response.as_str())];
        match login.answer(&request(0, Some(3), &pairs), &chap()) {
            Step::Complete(_, accepted) => {
                assert!(admitted);
                assert_eq!(accepted.proven.unwrap().user, "u");
            }
            other => {
                assert!(!admitted, "{other:?}");
                assert_eq!(refusal(other), (2, 1));
            }
        }
    }
}

#[test]
fn names_may_come_in_pieces() {
    let whole = request(0, Some(1), &names(IQN));
    let (left, right) = whole.data.split_at(30);
    let mut first = Pdu { header: whole.header, data: left.to_vec() };
    first.header[1] = CONTINUE;
    let mut login = login();
    let Step::Reply(reply) = login.answer(&first, &OneTarget(Auth::Open)) else { panic!("a reply") };
    assert!(reply.data.is_empty() && reply.flags() == 0);
    let second = Pdu { header: whole.header, data: right.to_vec() };
    let Step::Reply(reply) = login.answer(&second, &OneTarget(Auth::Open)) else { panic!("a reply") };
    assert_eq!(reply.flags(), 0x81);
}

#[test]
fn steps_out_of_order_are_initiator_errors() {
    let open = OneTarget(Auth::Open);
    assert_eq!(refusal(login().answer(&request(1, Some(1), &names(IQN)), &open)), (2, 0));
    assert_eq!(refusal(login().answer(&request(3, None, &names(IQN)), &open)), (2, 0));
    assert_eq!(refusal(login().answer(&Pdu::new(0x01, 0x80), &open)), (2, 0x0b));
    assert_eq!(refusal(login().answer(&request(0, None, &[]), &open)), (2, 7));
    let version = request(0, None, &names(IQN)).with(3, &[1]);
    assert_eq!(refusal(login().answer(&version, &open)), (2, 5));
    let stale = request(0, None, &names(IQN)).with(14, &[0, 9]);
    assert_eq!(refusal(login().answer(&stale, &open)), (2, 0x0a));
}

#[test]
fn a_further_connection_and_a_strange_handle_are_told_apart_from_a_reinstatement() {
    let open = OneTarget(Auth::Open);
    let known = request(1, Some(3), &names(IQN)).with(14, &[0, 5]);
    assert_eq!(refusal(login().answer(&known.clone().with(20, &[0, 7]), &open)), (2, 6));
    assert_eq!(refusal(login().answer(&known.clone().with(14, &[0, 6]), &open)), (2, 0x0a));
    let Step::Complete(_, accepted) = login().answer(&known, &open) else { panic!("a login") };
    assert_eq!(accepted.reinstates, Some(5));
}

#[test]
fn a_key_negotiated_twice_is_an_initiator_error() {
    let open = OneTarget(Auth::Open);
    let mut login = login();
    let mut pairs = names(IQN);
    pairs.push(("MaxBurstLength", "8192"));
    assert!(matches!(login.answer(&request(1, None, &pairs), &open), Step::Reply(_)));
    let again = request(1, Some(3), &[("MaxBurstLength", "4096")]);
    assert_eq!(refusal(login.answer(&again, &open)), (2, 0));
}

#[test]
fn a_login_that_never_comes_to_an_end_is_refused() {
    let open = OneTarget(Auth::Open);
    let mut login = login();
    assert!(matches!(login.answer(&request(1, None, &names(IQN)), &open), Step::Reply(_)));
    let end = (0..1000).find_map(|_| match login.answer(&request(1, None, &[]), &open) {
        Step::Refuse(response, _) => Some((response.header[36], response.header[37])),
        _ => None,
    });
    assert_eq!(end, Some((2, 0)));
}
