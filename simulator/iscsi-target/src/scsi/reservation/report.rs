//! PERSISTENT RESERVE IN parameter data (SPC-4 §6.16).

use bytes::{BufMut, Bytes, BytesMut};

use super::table::{Held, Table};
use super::{NexusId, Reservations};

/// CRH: RESERVE(6) beside a persistent reservation is tolerated. Not PTPL_C: reservations do not
/// outlive the array's process.
const CAPABILITIES: u8 = 0x10;
/// TMV: the type mask counts.
const TYPE_MASK_VALID: u8 = 0x80;
/// All six types (SPC-4 table 193).
const TYPE_MASK: [u8; 2] = [0xea, 0x01];

/// READ KEYS.
pub(crate) fn keys(reservations: &Reservations) -> Bytes {
    reservations.read(|table| {
        let mut body = BytesMut::with_capacity(8 * table.keys.len());
        table.keys.values().for_each(|key| body.put_u64(*key));
        listed(table, &body)
    })
}

/// READ RESERVATION.
pub(crate) fn reservation(reservations: &Reservations) -> Bytes {
    reservations.read(|table| {
        let mut body = BytesMut::new();
        if let Some(held) = &table.held {
            body.put_u64(if held.kind.is_all() { 0 } else { key_of(table, &held.nexus) });
            body.put_slice(&[0, 0, 0, 0, 0, held.kind as u8, 0, 0]);
        }
        listed(table, &body)
    })
}

/// REPORT CAPABILITIES.
pub(crate) fn capabilities() -> Bytes {
    let [high, low] = TYPE_MASK;
    Bytes::copy_from_slice(&[0, 8, CAPABILITIES, TYPE_MASK_VALID, high, low, 0, 0])
}

/// READ FULL STATUS.
pub(crate) fn full_status(reservations: &Reservations) -> Bytes {
    reservations.read(|table| {
        let mut body = BytesMut::new();
        for (nexus, key) in &table.keys {
            let held = table.held.as_ref().filter(|_| table.is_holder(nexus));
            let transport = transport_id(nexus);
            body.put_u64(*key);
            body.put_u32(0);
            body.put_slice(&[u8::from(held.is_some()), held.map_or(0, kind_of), 0, 0, 0, 0]);
            body.put_u16(nexus.port);
            body.put_u32(transport.len() as u32);
            body.put_slice(&transport);
        }
        listed(table, &body)
    })
}

fn kind_of(held: &Held) -> u8 {
    held.kind as u8
}

fn key_of(table: &Table, nexus: &NexusId) -> u64 {
    table.keys.get(nexus).copied().unwrap_or(0)
}

fn listed(table: &Table, body: &[u8]) -> Bytes {
    let mut data = BytesMut::with_capacity(8 + body.len());
    data.put_u32(table.generation);
    data.put_u32(body.len() as u32);
    data.put_slice(body);
    data.freeze()
}

/// TransportID of an iSCSI initiator port: its name, `,i,0x` and the ISID in hex (SPC-4 §7.6.4.6).
fn transport_id(nexus: &NexusId) -> Bytes {
    let mut name = nexus.initiator.to_string() + ",i,0x";
    for byte in nexus.isid {
        name += &format!("{byte:02x}");
    }
    // At least one NUL, a multiple of four, and no TransportID under 24 bytes.
    let length = (name.len() + 1).next_multiple_of(4).max(20);
    let mut data = BytesMut::with_capacity(4 + length);
    data.put_slice(&[0x45, 0]);
    data.put_u16(length as u16);
    data.put_slice(name.as_bytes());
    data.put_bytes(0, length - name.len());
    data.freeze()
}
