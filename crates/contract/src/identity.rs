//! What proves that a device is the volume: never its path, never its LUN number.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Not an identity a device can show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A WWID is `3` and 16 or 32 hexadecimal digits.
    #[error("WWID `{0}` is not valid: it is `3` followed by 16 or 32 hexadecimal digits (an NAA designator)")]
    Wwid(String),
    /// A unit serial is 1 to 64 printable ASCII bytes.
    #[error("LUN serial `{0}` is not valid: it is 1 to 64 printable ASCII bytes")]
    Serial(String),
}

/// A world wide identifier as scsi_id, udev's ID_SERIAL and multipathd spell an NAA designator of
/// VPD page 0x83 (SPC-4 §7.8.6): `3` followed by the designator in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wwid(String);

impl Wwid {
    /// From the bytes of an NAA designator: 8 bytes (NAA 2, 3, 5) or 16 (NAA 6).
    ///
    /// # Errors
    /// When the length is neither.
    pub fn from_naa(naa: &[u8]) -> Result<Self, IdentityError> {
        let hex: String = naa.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("3{hex}").parse()
    }

    /// The text, `3…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The uuid multipathd gives the dm map of this device (multipath-tools: `mpath-` + WWID).
    pub fn dm_uuid(&self) -> String {
        format!("mpath-{}", self.0)
    }
}

impl FromStr for Wwid {
    type Err = IdentityError;
    fn from_str(value: &str) -> Result<Self, IdentityError> {
        let hex = value.strip_prefix('3').unwrap_or_default();
        let digits = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits && matches!(hex.len(), 16 | 32) {
            return Ok(Self(value.to_owned()));
        }
        Err(IdentityError::Wwid(value.to_owned()))
    }
}

impl TryFrom<String> for Wwid {
    type Error = IdentityError;
    fn try_from(value: String) -> Result<Self, IdentityError> {
        value.parse()
    }
}

impl From<Wwid> for String {
    fn from(wwid: Wwid) -> Self {
        wwid.0
    }
}

impl core::fmt::Display for Wwid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The unit serial number of VPD page 0x80 (SPC-4 §7.8.15): exact bytes, `$` and `?` included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LunSerial(String);

impl LunSerial {
    /// The serial as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LunSerial {
    type Err = IdentityError;
    fn from_str(value: &str) -> Result<Self, IdentityError> {
        if (1..=64).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(value.to_owned()));
        }
        Err(IdentityError::Serial(value.to_owned()))
    }
}

impl TryFrom<String> for LunSerial {
    type Error = IdentityError;
    fn try_from(value: String) -> Result<Self, IdentityError> {
        value.parse()
    }
}

impl From<LunSerial> for String {
    fn from(serial: LunSerial) -> Self {
        serial.0
    }
}

impl core::fmt::Display for LunSerial {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Both identities the array promises for a LUN. A device is the volume only when it shows both
/// (hazard H02).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceIdentity {
    /// From VPD page 0x83.
    pub wwid: Wwid,
    /// From VPD page 0x80.
    pub serial: LunSerial,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ontap_serial_gives_the_wwid_that_multipath_prints() {
        // A serial and its WWID as a host showed them (ONTAP: NAA 6, company id 00a098, 12 bytes).
        let mut naa = vec![0x60, 0x0a, 0x09, 0x80];
        naa.extend_from_slice(b"81DaR$Qq/1ii");
        let wwid = Wwid::from_naa(&naa).unwrap();
        assert_eq!(wwid.as_str(), "3600a098038314461522451712f316969");
        assert_eq!(wwid.dm_uuid(), format!("mpath-{wwid}"));
    }

    #[test]
    fn a_truncated_or_foreign_identity_is_refused() {
        for bad in
            ["", "3", "3600a0980", "2600a098038314461522451712f316969", "3600A098038314461522451712F316969"]
        {
            assert!(bad.parse::<Wwid>().is_err(), "{bad}");
        }
        assert!(Wwid::from_naa(&[0x60; 12]).is_err());
        assert!("two words".parse::<LunSerial>().is_err());
    }
}
