use proptest::prelude::*;

use super::*;
use crate::scsi::unit::tests::nexus_id;

const KINDS: [Kind; 6] = [
    Kind::WriteExclusive,
    Kind::ExclusiveAccess,
    Kind::WriteExclusiveRegistrants,
    Kind::ExclusiveAccessRegistrants,
    Kind::WriteExclusiveAll,
    Kind::ExclusiveAccessAll,
];

fn register(reservations: &Reservations, nexus: &NexusId, new: u64) {
    let order = Order::Register { key: 0, new, ignore_existing: true };
    assert_eq!(reservations.apply(nexus, order), Ok(Vec::new()));
}

fn may(reservations: &Reservations, nexus: &NexusId, access: Access) -> bool {
    reservations.permit(nexus, access).is_ok()
}

/// SPC-4 table 67, as it stands there: who may read and write beside each type.
#[test]
fn each_type_admits_whom_the_standard_says() {
    // (holder, registrant, stranger), each (read, write).
    let full = (true, true);
    for (kind, registrant, stranger) in [
        (Kind::WriteExclusive, (true, false), (true, false)),
        (Kind::ExclusiveAccess, (false, false), (false, false)),
        (Kind::WriteExclusiveRegistrants, full, (true, false)),
        (Kind::ExclusiveAccessRegistrants, full, (false, false)),
        (Kind::WriteExclusiveAll, full, (true, false)),
        (Kind::ExclusiveAccessAll, full, (false, false)),
    ] {
        let reservations = Reservations::default();
        register(&reservations, &nexus_id(1), 1);
        register(&reservations, &nexus_id(2), 2);
        assert!(may(&reservations, &nexus_id(3), Access::Write), "nothing is reserved yet");
        reservations.apply(&nexus_id(1), Order::Reserve { key: 1, kind }).unwrap();
        for (nexus, wanted) in [(1, full), (2, registrant), (3, stranger)] {
            let nexus = nexus_id(nexus);
            let seen = [Access::Read, Access::Write].map(|access| may(&reservations, &nexus, access));
            assert_eq!((seen[0], seen[1]), wanted, "{kind:?}, {nexus:?}");
            assert!(may(&reservations, &nexus, Access::Always) && may(&reservations, &nexus, Access::Look));
        }
    }
}

#[test]
fn a_release_tells_the_registrants_who_shared_it_and_must_name_the_type() {
    let reservations = Reservations::default();
    register(&reservations, &nexus_id(1), 1);
    register(&reservations, &nexus_id(2), 2);
    let kind = Kind::WriteExclusiveRegistrants;
    reservations.apply(&nexus_id(1), Order::Reserve { key: 1, kind }).unwrap();
    let wrong = Order::Release { key: 1, kind: Kind::ExclusiveAccess };
    assert_eq!(reservations.apply(&nexus_id(1), wrong), Err(Sense::INVALID_RELEASE));
    let notices = reservations.apply(&nexus_id(1), Order::Release { key: 1, kind }).unwrap();
    let to = Audience::Only(vec![nexus_id(2)]);
    assert_eq!(notices, [Notice { to, attention: Sense::RESERVATIONS_RELEASED, abort: false }]);
    assert!(may(&reservations, &nexus_id(3), Access::Write));
}

#[test]
fn preempting_takes_the_reservation_over_and_the_victim_out() {
    let reservations = Reservations::default();
    register(&reservations, &nexus_id(1), 1);
    register(&reservations, &nexus_id(2), 2);
    let kind = Kind::ExclusiveAccess;
    reservations.apply(&nexus_id(1), Order::Reserve { key: 1, kind }).unwrap();
    let order = Order::Preempt { key: 2, victim: 1, kind: Kind::WriteExclusive, abort: true };
    let notices = reservations.apply(&nexus_id(2), order).unwrap();
    let to = Audience::Only(vec![nexus_id(1)]);
    assert_eq!(notices, [Notice { to, attention: Sense::REGISTRATIONS_PREEMPTED, abort: true }]);
    assert!(may(&reservations, &nexus_id(2), Access::Write));
    assert!(
        !may(&reservations, &nexus_id(1), Access::Write) && may(&reservations, &nexus_id(1), Access::Read)
    );
    let again = Order::Reserve { key: 1, kind };
    assert_eq!(reservations.apply(&nexus_id(1), again), Err(Sense::RESERVATION_CONFLICT));
}

#[test]
fn reserve_6_keeps_the_others_out_until_its_nexus_is_gone() {
    let reservations = Reservations::default();
    let (holder, other) = (nexus_id(1), nexus_id(2));
    reservations.reserve(&holder).unwrap();
    assert_eq!(reservations.reserve(&other), Err(Sense::RESERVATION_CONFLICT));
    assert_eq!(reservations.release(&other), Ok(()), "which releases nothing");
    assert!(may(&reservations, &holder, Access::Write) && !may(&reservations, &other, Access::Look));
    assert!(!may(&reservations, &holder, Access::Reserve), "SPC-2 and SPC-4 do not mix");
    reservations.forget_nexus(&other);
    assert!(!may(&reservations, &other, Access::Look));
    reservations.forget_nexus(&holder);
    assert!(may(&reservations, &other, Access::Write));
}

#[test]
fn the_reports_show_keys_holder_and_transport() {
    let reservations = Reservations::default();
    register(&reservations, &nexus_id(1), 0x1122);
    let kind = Kind::ExclusiveAccessRegistrants;
    reservations.apply(&nexus_id(1), Order::Reserve { key: 0x1122, kind }).unwrap();
    assert_eq!(report::keys(&reservations)[..], [0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x11, 0x22]);
    let reservation = report::reservation(&reservations);
    assert_eq!((reservation[7], reservation[15], reservation[21]), (16, 0x22, 6));
    let status = report::full_status(&reservations);
    assert_eq!(status.len(), 8 + usize::from(status[7]));
    assert_eq!((status[20], status[21], &status[26..28]), (1, 6, &[0, 1][..]));
    let transport = &status[32..];
    assert_eq!(&transport[..2], &[0x45, 0]);
    assert_eq!(usize::from(transport[3]), transport.len() - 4);
    assert!(transport[4..].starts_with(b"iqn.2026-11.example:a,i,0x400000000001\0"));
    assert_eq!(report::capabilities()[..6], [0, 8, 0x10, 0x80, 0xea, 0x01]);
}

/// Nexuses and keys few enough that orders meet.
fn orders() -> impl Strategy<Value = (u8, Order)> {
    let key = 0..4u64;
    let kind = prop::sample::select(&KINDS[..]);
    let order = prop_oneof![
        3 => (key.clone(), key.clone(), any::<bool>())
            .prop_map(|(key, new, ignore_existing)| Order::Register { key, new, ignore_existing }),
        2 => (key.clone(), kind.clone()).prop_map(|(key, kind)| Order::Reserve { key, kind }),
        2 => (key.clone(), kind.clone()).prop_map(|(key, kind)| Order::Release { key, kind }),
        1 => key.clone().prop_map(|key| Order::Clear { key }),
        2 => (key.clone(), key, kind, any::<bool>())
            .prop_map(|(key, victim, kind, abort)| Order::Preempt { key, victim, kind, abort }),
    ];
    (1..4u8, order)
}

/// Registrations as an order that went well must leave them (SPC-4 §5.12.7, §5.12.11).
fn expected_keys(before: &Table, nexus: &NexusId, order: Order) -> Vec<(NexusId, u64)> {
    let mut keys = before.keys.clone();
    match order {
        Order::Register { new: 0, .. } => {
            keys.remove(nexus);
        }
        Order::Register { new, .. } => {
            keys.insert(nexus.clone(), new);
        }
        Order::Reserve { .. } | Order::Release { .. } => {}
        Order::Clear { .. } => keys.clear(),
        // Zero stands for all; who takes a reservation over stays.
        Order::Preempt { victim: 0, .. } => keys.retain(|id, _| id == nexus),
        Order::Preempt { victim, .. } => {
            let of_holder = before
                .held
                .as_ref()
                .is_some_and(|held| !held.kind.is_all() && before.keys.get(&held.nexus) == Some(&victim));
            keys.retain(|id, key| *key != victim || of_holder && id == nexus);
        }
    }
    keys.into_iter().collect()
}

proptest! {
    #[test]
    fn whatever_is_ordered_the_table_stays_sound(steps in prop::collection::vec(orders(), 1..40)) {
        let mut table = Table::default();
        for (isid, order) in steps {
            let nexus = nexus_id(isid);
            let before = (table.generation, table.keys.clone(), table.held.clone());
            let snapshot = Table { keys: before.1.clone(), held: before.2.clone(), ..Table::default() };
            let outcome = table.apply(&nexus, order);
            let key = match order {
                Order::Register { ignore_existing: true, .. } => None,
                Order::Register { key, .. } | Order::Reserve { key, .. } | Order::Release { key, .. }
                | Order::Clear { key } | Order::Preempt { key, .. } => Some(key),
            };
            let known = before.1.get(&nexus).copied();
            let wrong_key = match order {
                Order::Register { .. } => key.is_some_and(|key| key != known.unwrap_or(0)),
                _ => known.is_none() || key != known,
            };
            prop_assert!(!wrong_key || outcome == Err(Sense::RESERVATION_CONFLICT));
            match outcome {
                // A refusal changes nothing.
                Err(_) => prop_assert_eq!(&before, &(table.generation, table.keys.clone(), table.held.clone())),
                Ok(notices) => {
                    let keys: Vec<_> = table.keys.clone().into_iter().collect();
                    prop_assert_eq!(keys, expected_keys(&snapshot, &nexus, order));
                    // One who acts is not told what it did; all who lost their registration are.
                    prop_assert!(notices.iter().all(|notice| !notice.to.includes(&nexus)));
                    for lost in before.1.keys().filter(|id| !table.keys.contains_key(id) && **id != nexus) {
                        prop_assert!(notices.iter().any(|notice| notice.to.includes(lost)));
                    }
                    let counts = !matches!(order, Order::Reserve { .. } | Order::Release { .. })
                        && (known.is_some() || !matches!(order, Order::Register { new: 0, .. }));
                    prop_assert_eq!(table.generation, before.0 + u32::from(counts));
                }
            }
            // A reservation has a registered holder.
            if let Some(held) = &table.held {
                prop_assert!(!table.keys.is_empty());
                prop_assert!(held.kind.is_all() || table.keys.contains_key(&held.nexus));
            }
            prop_assert!(table.keys.values().all(|key| *key != 0));
        }
    }
}
