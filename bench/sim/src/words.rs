//! Text that can be checked by who gets it: it follows from who says it and which of his sentences it is.

/// The longest, bytes.
const LONGEST: u64 = 120;

/// The sentence with this number of this speaker: letters and blanks, no blank first or last.
pub(crate) fn sentence(speaker: &str, number: u64) -> String {
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in speaker.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let length = 1 + next(LONGEST);
    let letters = b"abcdefghijklmnopqrstuvwxyz.!?-";
    let letters = (0..length).map(|_| char::from(letters[index(next(letters.len() as u64))]));
    letters.collect()
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("it is below a length")
}
