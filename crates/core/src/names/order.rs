//! In which order the addresses of a name are tried. Tries none.

use std::{collections::BTreeSet, net::SocketAddr};

/// More addresses of one name than this are not tried.
const ADDRESSES_MAX: usize = 64;

/// The families in turn, beginning with that of the first address, and the order within each as it was; what is there
/// twice is tried once. RFC 8305, section 4, with a First Address Family Count of 1.
pub(crate) fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = BTreeSet::new();
    let different = addresses
        .into_iter()
        .filter(|address| seen.insert(*address));
    let different: Vec<SocketAddr> = different.collect();
    let Some(first) = different.first().map(SocketAddr::is_ipv6) else {
        return Vec::new();
    };
    let (one, other): (Vec<_>, Vec<_>) = different
        .into_iter()
        .partition(|address| address.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut mixed = Vec::new();
    while mixed.len() < ADDRESSES_MAX {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            break;
        }
        mixed.extend(pair.into_iter().flatten());
    }
    mixed.truncate(ADDRESSES_MAX);
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// `6a` is the IPv6 address 10, `43` the IPv4 address 3.
    fn address(name: &str) -> SocketAddr {
        let (family, number) = name.split_at(1);
        let number = u8::from_str_radix(number, 16).unwrap();
        match family {
            "4" => (Ipv4Addr::new(192, 0, 2, number), 80).into(),
            _ => (Ipv6Addr::from(u128::from(number)), 80).into(),
        }
    }

    #[track_caller]
    fn check(answer: &str, order: &str) {
        let addresses = |names: &str| names.split_whitespace().map(address).collect::<Vec<_>>();
        assert_eq!(interleave(addresses(answer)), addresses(order), "{answer}");
    }

    #[test]
    fn the_families_take_turns_and_the_first_answer_begins() {
        check("", "");
        check("41", "41");
        check("61 62 41 42", "61 41 62 42");
        check("41 42 61 62", "41 61 42 62");
        check("61 41 62 63 64", "61 41 62 63 64");
        check("41 42 43 61", "41 61 42 43");
        check("61 62", "61 62");
    }

    #[test]
    fn what_is_there_twice_is_tried_once() {
        check("41 41 61 41 61 42", "41 61 42");
    }

    #[test]
    fn there_is_a_most() {
        let many = (0..=255_u8).map(|number| address(&format!("4{number:x}")));
        let mixed = interleave(many.chain([address("61")]).collect());
        assert_eq!(mixed.len(), ADDRESSES_MAX);
        assert_eq!(mixed[1], address("61"));
    }
}
