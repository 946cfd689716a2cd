//! Ids that the machine or git gives out, and time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{BranchName, TaskId, text::text_form};

/// A text is no object id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no object id: 40 or 64 lower-case hexadecimal digits are")]
pub struct InvalidOid(String);

/// An object's id in git: 20 bytes of SHA-1 or 32 of SHA-256. Text form: lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid {
    len: u8,
    bytes: [u8; 32],
}

impl Oid {
    /// From the raw bytes, 20 or 32; `None` for any other number.
    #[must_use]
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        let len = match raw.len() {
            20 => 20,
            32 => 32,
            _ => return None,
        };
        let mut bytes = [0; 32];
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Self { len, bytes })
    }

    /// The raw bytes, 20 or 32.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

fn from_hex(text: &str, into: &mut [u8]) -> Option<()> {
    if text.len() != into.len() * 2 {
        return None;
    }
    let mut wrong = 0;
    for (byte, pair) in into.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        wrong |= high | low;
        *byte = high << 4 | low;
    }
    (wrong <= 0xf).then_some(())
}

/// The hexadecimal digits that we write, and read.
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Which digit each byte is; above 15 where it is none.
const DIGITS: [u8; 256] = {
    let (mut digits, mut digit) = ([u8::MAX; 256], 0);
    while digit < 16 {
        digits[HEX[digit as usize] as usize] = digit;
        digit += 1;
    }
    digits
};

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digit = |digit: u8| HEX[usize::from(digit & 0xf)];
    let mut text = [0; 64];
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        (pair[0], pair[1]) = (digit(byte >> 4), digit(*byte));
    }
    f.write_str(std::str::from_utf8(&text[..bytes.len() * 2]).unwrap_or_default())
}

impl FromStr for Oid {
    type Err = InvalidOid;
    fn from_str(text: &str) -> Result<Self, InvalidOid> {
        let mut bytes = [0; 32];
        let len = match text.len() {
            40 => 20,
            64 => 32,
            _ => return Err(InvalidOid(text.chars().take(80).collect())),
        };
        from_hex(text, &mut bytes[..len]).ok_or_else(|| InvalidOid(text.to_owned()))?;
        Ok(Self {
            len: len as u8,
            bytes,
        })
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(self.as_bytes(), f)
    }
}

macro_rules! by_text {
    ($($Name:ident),*) => {
        text_form!($($Name),*);
        $(
            impl fmt::Debug for $Name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!(stringify!($Name), "({})"), self)
                }
            }
        )*
    };
}

macro_rules! oids {
    ($($(#[$doc:meta])* $Name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(pub Oid);

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $Name {
            type Err = InvalidOid;
            fn from_str(text: &str) -> Result<Self, InvalidOid> {
                text.parse().map(Self)
            }
        }
        impl $Name {
            /// The first twelve digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(12);
                text
            }
        }
    )*};
}

oids! {
    /// A commit, by its full id. What a review binds to.
    CommitId;
    /// A tree, by its full id. What a gate report binds to.
    TreeId;
    /// A blob, by its full id.
    BlobId;
}

/// SHA-256 of some content. Text form: 64 lower-case hexadecimal digits, as `sha256sum` prints them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// Hashes the bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Hashes the JSON form of a value. The form is stable: struct fields in their order, maps sorted.
    #[must_use]
    pub fn of_json<T: Serialize>(value: &T) -> Self {
        // As much as a contract has, so that it need not grow.
        let mut json = Vec::with_capacity(1024);
        serde_json::to_writer(&mut json, value)
            .expect("our own data has string keys and serialises");
        Self::of(&json)
    }

    /// From the raw bytes of a SHA-256 digest.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes of the digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for ContentHash {
    type Err = InvalidOid;
    fn from_str(text: &str) -> Result<Self, InvalidOid> {
        let mut bytes = [0; 32];
        from_hex(text, &mut bytes).ok_or_else(|| InvalidOid(text.chars().take(80).collect()))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// One numbered try at a task. Text form: `R1#2`; numbers begin at 1 and never repeat within a ledger.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The task that is tried.
    pub task: TaskId,
    /// 1 for the first attempt.
    pub number: u32,
}

impl AttemptId {
    /// The branch on which the attempt works, the same in its own repository and in ours.
    #[must_use]
    pub fn branch(&self) -> BranchName {
        BranchName::new(format!("attempt/{}/{}", self.task, self.number))
            .expect("a task id is one component of a ref")
    }

    /// The attempt as one component of a path: `R1-2`.
    #[must_use]
    pub fn slug(&self) -> String {
        format!("{}-{}", self.task, self.number)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.task, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = InvalidOid;
    fn from_str(text: &str) -> Result<Self, InvalidOid> {
        let parsed = text.rsplit_once('#').and_then(|(task, number)| {
            Some(Self {
                task: task.parse().ok()?,
                number: number.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| InvalidOid(text.to_owned()))
    }
}

/// A request to a person, numbered through the ledger. Text form: `H3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(pub u32);

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "H{}", self.0)
    }
}

/// Why a text is no hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no hold: write one that is open, such as `H1`")]
pub struct InvalidHold(String);

impl FromStr for HoldId {
    type Err = InvalidHold;
    fn from_str(text: &str) -> Result<Self, InvalidHold> {
        let number = text
            .strip_prefix('H')
            .and_then(|digits| digits.parse().ok());
        number
            .map(Self)
            .ok_or_else(|| InvalidHold(text.chars().take(80).collect()))
    }
}

/// What a finding is about, the same in every round: eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingId(pub u32);

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A text that is no [`FindingId`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not the id of a finding: those are eight hexadecimal digits")]
pub struct InvalidFinding(String);

impl FromStr for FindingId {
    type Err = InvalidFinding;
    fn from_str(text: &str) -> Result<Self, InvalidFinding> {
        let digits = Some(text)
            .filter(|text| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number
            .map(Self)
            .ok_or_else(|| InvalidFinding(text.chars().take(80).collect()))
    }
}

by_text!(
    Oid,
    CommitId,
    TreeId,
    BlobId,
    ContentHash,
    AttemptId,
    HoldId,
    FindingId
);

/// One effect that the machine asked for, numbered from 1 through the whole ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectId(pub u64);

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// The agent's own name for a conversation, by which a later turn resumes it. Opaque to us.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionRef(pub String);

/// Wall-clock time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Hours, minutes and seconds of its day, in UTC.
    #[must_use]
    pub fn time_of_day(self) -> [u64; 3] {
        let seconds = self.0 / 1000 % 86_400;
        [seconds / 3600, seconds / 60 % 60, seconds % 60]
    }

    /// This much later; the end of time if it would be later still.
    #[must_use]
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// How long since `earlier`; zero if that is not in the past.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// The same moment on a clock that was moved by so much.
    #[must_use]
    pub fn moved(self, by: Shift) -> Self {
        Self(self.0.saturating_add_signed(by.0))
    }
}

/// By how much a clock was moved, in milliseconds: forwards, or, where it is negative, backwards.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Shift(pub i64);

/// In whole seconds: `32400 s forwards`.
impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.0 < 0 { "backwards" } else { "forwards" };
        write!(f, "{} s {direction}", self.0.unsigned_abs() / 1000)
    }
}

/// A length of time in milliseconds. Text form: a whole number and a unit, `ms`, `s`, `m`, `h` or `d`: `45m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub u64);

impl Span {
    /// Whole seconds.
    #[must_use]
    pub const fn secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// A text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no length of time: write a whole number and a unit, such as `500ms`, `30s`, `45m`, `2h` or `1d`"
)]
pub struct InvalidSpan(String);

impl FromStr for Span {
    type Err = InvalidSpan;
    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let unit = UNITS.iter().find(|(unit, _)| *unit == &text[digits..]);
        let millis = text[..digits]
            .parse()
            .ok()
            .zip(unit)
            .and_then(|(n, (_, size)): (u64, _)| n.checked_mul(*size));
        millis
            .map(Self)
            .ok_or_else(|| InvalidSpan(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = UNITS
            .iter()
            .rev()
            .find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size))
            .unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", self.0 / size)
    }
}

by_text!(Span);

/// A number of bytes. Text form: a whole number and a unit, `B`, `KiB`, `MiB` or `GiB`: `50MiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(pub u64);

impl Size {
    /// Whole mebibytes.
    #[must_use]
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }
}

const SIZES: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A text is no number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no size: write a whole number and a unit, such as `800KiB`, `50MiB` or `1GiB`")]
pub struct InvalidSize(String);

impl FromStr for Size {
    type Err = InvalidSize;
    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let unit = SIZES.iter().find(|(unit, _)| *unit == &text[digits..]);
        let bytes = text[..digits]
            .parse()
            .ok()
            .zip(unit)
            .and_then(|(n, (_, size)): (u64, _)| n.checked_mul(*size));
        bytes
            .map(Self)
            .ok_or_else(|| InvalidSize(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = SIZES
            .iter()
            .rev()
            .find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size))
            .unwrap_or(&SIZES[0]);
        write!(f, "{}{unit}", self.0 / size)
    }
}

by_text!(Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_they_are_written() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("45m", 2_700_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(millis)));
            assert_eq!(Span(millis).to_string(), text);
        }
        for bad in ["", "5", "m", "-1s", "1.5h", "1 h", "99999999999999999999d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_read_as_they_are_written() {
        for (text, bytes) in [
            ("0B", 0),
            ("1000B", 1000),
            ("3KiB", 3072),
            ("50MiB", 52_428_800),
            ("2GiB", 2_147_483_648),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for bad in [
            "",
            "5",
            "5MB",
            "MiB",
            "-1B",
            "1.5GiB",
            "1 MiB",
            "99999999999GiB",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn object_ids_are_whole_or_nothing() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let oid: Oid = id.parse().expect("an id");
        assert_eq!(oid.to_string(), id);
        assert_eq!(Oid::from_bytes(oid.as_bytes()), Some(oid));
        assert_eq!(Oid::from_bytes(&[0; 21]), None);
        for bad in [
            "",
            "main",
            "0123",
            &id.to_uppercase(),
            &format!("{}g", &id[1..]),
        ] {
            assert!(bad.parse::<Oid>().is_err(), "{bad}");
        }
    }
}
