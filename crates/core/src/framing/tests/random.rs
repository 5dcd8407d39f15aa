//! Any bytes in any pieces mean the same as the whole; what was encoded is decoded.

use super::{Events, Subject, lines::Options, run, strings::of};
use crate::{
    framing::{Cut, Delimiter, Format, Netstring, Parsed, Prefix, cut_line},
    testing::memory::Tester,
};
use proptest::prelude::*;

/// Bytes that make lines, strings, mistakes and commands likely.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"!".to_vec()),
        Just(b"raw\r\n".to_vec()),
        Just(b"pause\r\n".to_vec()),
        Just(b"again\r\n".to_vec()),
        Just(b"close\r\n".to_vec()),
        Just(b"5:pause,".to_vec()),
        Just(b"\x05pause\0\x05pause".to_vec()),
        Just(b"\0".to_vec()),
        "[0-9]{1,3}:[a-z]{0,3},".prop_map(String::into_bytes),
        "[a-z]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(input: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = at.iter().map(|at| at.index(input.len() + 1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    let pieces = places.windows(2).map(|w| &input[w[0]..w[1]]);
    pieces.filter(|piece| !piece.is_empty()).collect()
}

fn delimiter() -> impl Strategy<Value = Delimiter> {
    prop_oneof![
        Just(Delimiter::CrLf),
        Just(Delimiter::Lf),
        Just(Delimiter::Either),
        Just(Delimiter::custom(b"\r\n\r\n")),
        Just(Delimiter::custom(b"ab")),
    ]
}

fn same<S: Subject>(
    subject: &S,
    input: &[u8],
    at: &[prop::sample::Index],
) -> Result<(), TestCaseError> {
    let whole = run(subject, [input]);
    prop_assert_eq!(&whole, &run(subject, cut(input, at)));
    prop_assert_eq!(&whole, &run(subject, input.chunks(1)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_lines_means_the_same(
        input in bytes(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        delimiter in delimiter(),
        longest in 0_usize..12,
        tolerant: bool,
    ) {
        let subject = Options { delimiter, max_length: Some(longest), tolerant };
        same(&subject, &input, &at)?;
    }

    #[test]
    fn any_cut_of_strings_means_the_same(
        input in bytes(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        longest in 0_usize..300,
    ) {
        same(&of::<Netstring>(Some(longest)), &input, &at)?;
        same(&of::<Prefix<1>>(Some(longest)), &input, &at)?;
        same(&of::<Prefix<2>>(Some(longest)), &input, &at)?;
        same(&of::<Prefix<4>>(Some(longest)), &input, &at)?;
    }

    #[test]
    fn what_was_encoded_is_decoded(strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..256), 0..8)) {
        round_trip::<Netstring>(&strings)?;
        round_trip::<Prefix<1>>(&strings)?;
        round_trip::<Prefix<2>>(&strings)?;
        round_trip::<Prefix<4>>(&strings)?;
    }

    #[test]
    fn lines_are_what_splitting_gives(lines in prop::collection::vec("[a-z\r]{0,9}", 0..8)) {
        let input: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let mut rest = input.as_bytes();
        for expected in input.split_terminator("\r\n") {
            let Cut::Line { length, taken } = cut_line(rest, &Delimiter::CrLf, 99, &mut 0) else {
                return Err(TestCaseError::fail("no line"));
            };
            prop_assert_eq!(&rest[..length], expected.as_bytes());
            rest = &rest[taken..];
        }
        prop_assert!(rest.is_empty());
    }
}

fn round_trip<F: Format>(strings: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let tester = Tester::new(of::<F>(None).build(&Events::default()));
    for string in strings {
        F::write(tester.transport(), string);
    }
    tester.settle();
    let sent = tester.sent();
    let mut rest = &sent[..];
    for expected in strings {
        let Parsed::String { string, taken } = { F::FORMAT }.parse(rest, 256) else {
            return Err(TestCaseError::fail("no string"));
        };
        prop_assert_eq!(&rest[string], expected);
        rest = &rest[taken..];
    }
    prop_assert!(rest.is_empty());
    Ok(())
}
