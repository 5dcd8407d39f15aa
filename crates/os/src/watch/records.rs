//! What the system writes of watched files (`inotify(7)`), taken apart however it is cut. Opens nothing.

use super::Mask;
use std::{ffi::OsString, os::unix::ffi::OsStringExt};

/// The parts of a record that are always there: four numbers of the system's byte order.
const HEADER_BYTES: usize = 16;
/// A name with its padding is no longer, as `NAME_MAX` is 255.
const NAME_BYTES_MAX: usize = 4096;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Which watch; -1 when it is about all of them.
    pub(super) watch: i32,
    pub(super) mask: Mask,
    /// The file in the directory, if it is about one.
    pub(super) name: Option<OsString>,
}

/// No system writes such a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) name_bytes: usize,
}

/// Keeps what is not a whole record yet.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<u8>);

impl Records {
    /// More bytes, and the records that are whole with them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Record>, Malformed> {
        self.0.extend_from_slice(bytes);
        let mut records = Vec::new();
        let mut rest = &self.0[..];
        while let Some((header, behind)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let number = |at: usize| {
                let bytes = header[at..at + 4].try_into();
                u32::from_ne_bytes(bytes.expect("it is four long"))
            };
            let length = number(12) as usize;
            if length > NAME_BYTES_MAX {
                self.0.clear();
                return Err(Malformed { name_bytes: length });
            }
            let Some((name, next)) = behind.split_at_checked(length) else {
                break;
            };
            let end = name.iter().position(|byte| *byte == 0);
            let name = &name[..end.unwrap_or(length)];
            records.push(Record {
                watch: number(0).cast_signed(),
                mask: Mask(number(4)),
                name: (!name.is_empty()).then(|| OsString::from_vec(name.to_vec())),
            });
            rest = next;
        }
        let used = self.0.len() - rest.len();
        self.0.drain(..used);
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(watch: i32, mask: u32, name: &[u8], padding: usize) -> Vec<u8> {
        let padding = if name.is_empty() { 0 } else { padding + 1 };
        let length = u32::try_from(name.len() + padding).expect("it is short");
        let mut bytes = Vec::new();
        bytes.extend(watch.to_ne_bytes());
        bytes.extend(mask.to_ne_bytes());
        bytes.extend(7_u32.to_ne_bytes());
        bytes.extend(length.to_ne_bytes());
        bytes.extend(name);
        bytes.resize(bytes.len() + padding, 0);
        bytes
    }

    fn record(watch: i32, mask: u32, name: &[u8]) -> Record {
        Record {
            watch,
            mask: Mask(mask),
            name: (!name.is_empty()).then(|| OsString::from_vec(name.to_vec())),
        }
    }

    #[test]
    fn records_are_cut_at_every_byte() {
        let mut bytes = encoded(1, 0x100, b"file", 11);
        bytes.extend(encoded(-1, 0x4000, b"", 0));
        bytes.extend(encoded(2, 0x4000_0200, b"x", 0));
        let expected = [
            record(1, 0x100, b"file"),
            record(-1, 0x4000, b""),
            record(2, 0x4000_0200, b"x"),
        ];
        for cut in 0..=bytes.len() {
            let mut records = Records::default();
            let mut found = records.feed(&bytes[..cut]).expect("it is right");
            found.extend(records.feed(&bytes[cut..]).expect("it is right"));
            assert_eq!(found, expected, "cut at {cut}");
            assert!(records.0.is_empty());
        }
    }

    #[test]
    fn a_length_is_not_believed() {
        let mut bytes = encoded(1, 2, b"", 0);
        bytes[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
        let mut records = Records::default();
        let malformed = records.feed(&bytes).expect_err("it is too long");
        assert_eq!(malformed.name_bytes, u32::MAX as usize);
        let again = records.feed(&encoded(1, 2, b"a", 0));
        assert_eq!(again.expect("it begins anew"), [record(1, 2, b"a")]);
    }

    proptest! {
        #[test]
        fn any_records_in_any_pieces(
            written in prop::collection::vec((any::<i32>(), any::<u32>(), prop::collection::vec(1_u8.., 0..20), 0_usize..30), 0..8),
            piece in 1_usize..40,
        ) {
            let bytes: Vec<u8> = written.iter().flat_map(|(watch, mask, name, padding)| encoded(*watch, *mask, name, *padding)).collect();
            let mut records = Records::default();
            let mut found = Vec::new();
            for part in bytes.chunks(piece) {
                found.extend(records.feed(part).expect("it is right"));
            }
            let expected: Vec<Record> = written.iter().map(|(watch, mask, name, _)| record(*watch, *mask, name)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1_usize..40) {
            let mut records = Records::default();
            for part in bytes.chunks(piece) {
                records.feed(part).ok();
                prop_assert!(records.0.len() <= HEADER_BYTES + NAME_BYTES_MAX + 40);
            }
        }
    }
}
