//! Banana: expressions of lists, byte strings and numbers as bytes. Knows neither jelly nor messages.
//!
//! Reading is in two steps, so that nothing is built of what is not whole: a [`Scanner`] finds where an expression ends,
//! in any pieces and without keeping a byte; a [`Reader`] then takes the expression apart. Source: Twisted's
//! `spread/banana.py`, and its specification, `docs/core/specifications/banana.rst`.

use std::{error::Error, fmt};

/// Bytes of a number before its type byte.
pub const PREFIX_LIMIT: usize = 64;
/// Bytes of a string, and items of a list.
pub const SIZE_LIMIT: usize = 640 * 1024;

const LIST: u8 = 0x80;
const INT: u8 = 0x81;
const STRING: u8 = 0x82;
const NEG: u8 = 0x83;
const FLOAT: u8 = 0x84;
const LONG_INT: u8 = 0x85;
const LONG_NEG: u8 = 0x86;
const VOCAB: u8 = 0x87;

/// Words that the dialect `pb` sends as their numbers, from 1.
const VOCABULARY: [&[u8]; 31] = [
    b"None",
    b"class",
    b"dereference",
    b"reference",
    b"dictionary",
    b"function",
    b"instance",
    b"list",
    b"module",
    b"persistent",
    b"tuple",
    b"unpersistable",
    b"copy",
    b"cache",
    b"cached",
    b"remote",
    b"local",
    b"lcache",
    b"version",
    b"login",
    b"password",
    b"challenge",
    b"logged_in",
    b"not_logged_in",
    b"cachemessage",
    b"message",
    b"answer",
    b"error",
    b"decref",
    b"decache",
    b"uncache",
];

/// The number of a word of the vocabulary.
fn vocabulary_number(word: &[u8]) -> Option<u8> {
    // By its length first: most strings are no words, and are told so by one comparison.
    Some(match word {
        b"copy" => 13,
        b"None" => 1,
        b"list" => 8,
        b"class" => 2,
        b"cache" => 14,
        b"error" => 28,
        b"local" => 17,
        b"login" => 20,
        b"tuple" => 11,
        b"answer" => 27,
        b"cached" => 15,
        b"decref" => 29,
        b"lcache" => 18,
        b"module" => 9,
        b"remote" => 16,
        b"decache" => 30,
        b"message" => 26,
        b"uncache" => 31,
        b"version" => 19,
        b"function" => 6,
        b"instance" => 7,
        b"password" => 21,
        b"challenge" => 22,
        b"logged_in" => 23,
        b"reference" => 4,
        b"dictionary" => 5,
        b"persistent" => 10,
        b"dereference" => 3,
        b"cachemessage" => 25,
        b"not_logged_in" => 24,
        b"unpersistable" => 12,
        _ => return None,
    })
}

/// Bytes that are no banana, or more of it than is allowed. The connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BananaError {
    /// More than [`PREFIX_LIMIT`] bytes before a type byte.
    Prefix,
    /// No type of element has this byte.
    Type(u8),
    /// A number where none belongs, or none where one does.
    Number(u8),
    /// A string or list of more than [`SIZE_LIMIT`].
    Size,
    /// An expression of more bytes than this.
    Length(usize),
    /// More lists in each other than this.
    Nesting(usize),
    /// A word of the vocabulary that does not exist, or before the dialect that has it.
    Word,
}

impl fmt::Display for BananaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix => write!(
                f,
                "expected at most {PREFIX_LIMIT} bytes before a type byte"
            ),
            Self::Type(byte) => write!(f, "expected a type byte of banana, found {byte:#04x}"),
            Self::Number(FLOAT) => write!(f, "expected no number before the type byte of a float"),
            Self::Number(byte) => write!(f, "expected a number before the type byte {byte:#04x}"),
            Self::Size => write!(f, "expected a string or list of at most {SIZE_LIMIT}"),
            Self::Length(most) => write!(f, "expected an expression of at most {most} bytes"),
            Self::Nesting(most) => write!(f, "expected at most {most} lists in each other"),
            Self::Word => f.write_str("expected a word of the vocabulary that was agreed on"),
        }
    }
}

impl Error for BananaError {}

/// Finds the ends of expressions in bytes that come in any pieces. Keeps numbers only.
#[derive(Debug)]
pub(super) struct Scanner {
    /// Whether words of the vocabulary may come.
    pub(super) vocabulary: bool,
    /// Bytes of one expression.
    most: usize,
    /// Lists in each other.
    nesting: usize,
    /// Bytes of this expression that came in earlier pieces.
    taken: usize,
    /// Of the number before the next type byte.
    prefix: usize,
    number: u64,
    /// Bytes of the body of a string or float that have not come.
    body: usize,
    /// Items that each open list still waits for, from the outside in.
    open: Vec<usize>,
}

impl Scanner {
    pub(super) fn new(most: usize, nesting: usize) -> Self {
        Self {
            vocabulary: false,
            most,
            nesting,
            taken: 0,
            prefix: 0,
            number: 0,
            body: 0,
            open: Vec::new(),
        }
    }

    /// After how many bytes of this piece the expression ends; it may go on in the next. What an element announces is
    /// held against the limits before any of it has come.
    #[inline]
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<Option<usize>, BananaError> {
        let mut at = 0;
        loop {
            if self.body > 0 {
                let came = self.body.min(piece.len() - at);
                self.body -= came;
                at += came;
                if self.body > 0 {
                    break;
                }
                if self.element_ends() {
                    return self.ends(at);
                }
            }
            let Some(&byte) = piece.get(at) else { break };
            at += 1;
            if byte < LIST {
                self.digit(byte)?;
            } else if self.type_byte(byte, at)? {
                return self.ends(at);
            }
        }
        self.taken += at;
        self.check_length(0)?;
        Ok(None)
    }

    fn ends(&mut self, at: usize) -> Result<Option<usize>, BananaError> {
        self.taken += at;
        self.check_length(0)?;
        self.taken = 0;
        Ok(Some(at))
    }

    fn check_length(&self, more: usize) -> Result<(), BananaError> {
        match self.taken + more > self.most {
            true => Err(BananaError::Length(self.most)),
            false => Ok(()),
        }
    }

    #[inline]
    fn digit(&mut self, byte: u8) -> Result<(), BananaError> {
        if self.prefix == PREFIX_LIMIT {
            return Err(BananaError::Prefix);
        }
        // Sizes are far below 2^56; what is larger must only stay so.
        let digit = u64::from(byte);
        match self.prefix {
            0..8 => self.number |= digit << (7 * self.prefix),
            _ if digit > 0 => self.number = u64::MAX,
            _ => {}
        }
        self.prefix += 1;
        Ok(())
    }

    /// Whether the expression ends with this type byte, which is the last of so many bytes of the piece.
    #[inline]
    fn type_byte(&mut self, byte: u8, at: usize) -> Result<bool, BananaError> {
        if byte > VOCAB {
            return Err(BananaError::Type(byte));
        }
        if (self.prefix == 0) != (byte == FLOAT) {
            return Err(BananaError::Number(byte));
        }
        let number = usize::try_from(self.number).unwrap_or(usize::MAX);
        (self.prefix, self.number) = (0, 0);
        match byte {
            LIST | STRING if number > SIZE_LIMIT => Err(BananaError::Size),
            LIST if number > 0 => {
                if self.open.len() == self.nesting {
                    return Err(BananaError::Nesting(self.nesting));
                }
                self.check_length(at + 2 * number)?; // no element has fewer bytes than two
                self.open.push(number);
                Ok(false)
            }
            STRING if number > 0 => {
                self.check_length(at + number)?;
                self.body = number;
                Ok(false)
            }
            FLOAT => {
                self.body = 8;
                Ok(false)
            }
            VOCAB if !self.vocabulary || !(1..=VOCABULARY.len()).contains(&number) => {
                Err(BananaError::Word)
            }
            _ => Ok(self.element_ends()),
        }
    }

    /// Whether the expression ends with this element.
    #[inline]
    fn element_ends(&mut self) -> bool {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }
}

/// One element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Item<'a> {
    /// A list; so many items follow.
    List(usize),
    /// A whole number.
    Integer(i128),
    /// A whole number that is none of 128 bits.
    Huge,
    Float(f64),
    Bytes(&'a [u8]),
}

/// Takes an expression apart that a [`Scanner`] has seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(expression: &'a [u8]) -> Self {
        Self(expression)
    }

    /// Nothing at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Item<'a>> {
        let digits = self.0.iter().position(|byte| *byte >= LIST)?;
        let (number, rest) = self.0.split_at(digits);
        let (kind, rest) = rest.split_first()?;
        self.0 = rest;
        Some(match *kind {
            LIST => Item::List(size(number)?),
            STRING => Item::Bytes(self.body(size(number)?)?),
            VOCAB => Item::Bytes(VOCABULARY.get(size(number)?.checked_sub(1)?)?),
            INT | LONG_INT => integer(number, false),
            NEG | LONG_NEG => integer(number, true),
            FLOAT => Item::Float(f64::from_be_bytes(self.body(8)?.try_into().ok()?)),
            _ => return None,
        })
    }

    /// The next element, if it is a list.
    pub(super) fn list(&mut self) -> Option<usize> {
        match self.next()? {
            Item::List(count) => Some(count),
            _ => None,
        }
    }

    /// The next element, if it is a string.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        match self.next()? {
            Item::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The next element, if it is a whole number.
    pub(super) fn integer(&mut self) -> Option<i128> {
        match self.next()? {
            Item::Integer(number) => Some(number),
            _ => None,
        }
    }

    #[inline]
    fn body(&mut self, length: usize) -> Option<&'a [u8]> {
        let (body, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(body)
    }
}

/// A number that is small.
#[inline]
fn size(digits: &[u8]) -> Option<usize> {
    if let [digit] = digits {
        return Some(usize::from(*digit));
    }
    let mut size = 0;
    for (place, digit) in digits.iter().enumerate().filter(|(_, digit)| **digit > 0) {
        let shift = u32::try_from(7 * place).ok().filter(|shift| *shift < 56)?;
        size |= usize::from(*digit) << shift;
    }
    Some(size)
}

/// A number of up to 128 bits with its sign.
#[inline]
fn integer(digits: &[u8], negative: bool) -> Item<'static> {
    if let [digit] = digits {
        let number = i128::from(*digit);
        return Item::Integer(if negative { -number } else { number });
    }
    let mut magnitude = 0_u128;
    for digit in digits.iter().rev() {
        if magnitude >> (128 - 7) > 0 {
            return Item::Huge;
        }
        magnitude = magnitude << 7 | u128::from(*digit);
    }
    let number = match negative {
        true => 0_i128.checked_sub_unsigned(magnitude),
        false => i128::try_from(magnitude).ok(),
    };
    number.map_or(Item::Huge, Item::Integer)
}

/// An expression is larger than its reader would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Writes elements to the end of a buffer, and no more than so many bytes in all.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Whether words of the vocabulary are sent as numbers.
    vocabulary: bool,
    most: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, vocabulary: bool, most: usize) -> Self {
        Self {
            out,
            vocabulary,
            most,
        }
    }

    /// A list, whose items follow.
    #[inline]
    pub(super) fn list(&mut self, count: usize) -> Result<(), TooLarge> {
        self.check(count)?;
        self.number(count as u128, LIST);
        Ok(())
    }

    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if self.vocabulary
            && let Some(number) = vocabulary_number(bytes)
        {
            self.out.extend_from_slice(&[number, VOCAB]);
            return Ok(());
        }
        self.check(bytes.len())?;
        self.number(bytes.len() as u128, STRING);
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    pub(super) fn integer(&mut self, number: i128) {
        let kind = match number {
            ..-0x8000_0000 => LONG_NEG,
            -0x8000_0000..0 => NEG,
            0..=0x7fff_ffff => INT,
            _ => LONG_INT,
        };
        self.number(number.unsigned_abs(), kind);
    }

    #[inline]
    pub(super) fn float(&mut self, number: f64) {
        self.out.push(FLOAT);
        self.out.extend_from_slice(&number.to_be_bytes());
    }

    /// Whether as much may follow as is announced.
    #[inline]
    fn check(&self, size: usize) -> Result<(), TooLarge> {
        match size <= SIZE_LIMIT && self.out.len() + size <= self.most {
            true => Ok(()),
            false => Err(TooLarge),
        }
    }

    #[inline]
    fn number(&mut self, mut number: u128, kind: u8) {
        let digit = |number: u128| (number & 0x7f) as u8;
        if number < 0x80 {
            self.out.extend_from_slice(&[digit(number), kind]);
            return;
        }
        while number > 0 {
            self.out.push(digit(number));
            number >>= 7;
        }
        self.out.push(kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<Option<usize>, BananaError> {
        let mut scanner = Scanner::new(1 << 20, 100);
        scanner.vocabulary = true;
        scanner.feed(bytes)
    }

    /// The elements of one whole expression, after it was scanned in pieces of every size.
    fn items(bytes: &[u8]) -> Vec<Item<'_>> {
        for every in 1..=bytes.len() {
            let mut scanner = Scanner::new(1 << 20, 100);
            scanner.vocabulary = true;
            let mut pieces = bytes.chunks(every).peekable();
            while let Some(piece) = pieces.next() {
                let expected = pieces.peek().is_none().then_some(piece.len());
                assert_eq!(scanner.feed(piece), Ok(expected), "pieces of {every}");
            }
        }
        let mut reader = Reader::new(bytes);
        std::iter::from_fn(|| reader.next()).collect()
    }

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, true, 1 << 20));
        out
    }

    #[test]
    fn every_word_has_its_number() {
        for (index, word) in VOCABULARY.iter().enumerate() {
            let number = u8::try_from(index + 1).expect("there are 31");
            assert_eq!(vocabulary_number(word), Some(number));
            assert_eq!(items(&[number, VOCAB]), [Item::Bytes(word)]);
            let sent = written(|writer| writer.bytes(word).expect("it is small"));
            assert_eq!(sent, [number, VOCAB]);
        }
        assert_eq!(vocabulary_number(b"quote"), None);
    }

    /// What Twisted 26.10 writes for each.
    #[test]
    fn elements_are_those_of_twisted() {
        for (number, bytes) in [
            (0, &b"\x00\x81"[..]),
            (1, b"\x01\x81"),
            (-1, b"\x01\x83"),
            (127, b"\x7f\x81"),
            (128, b"\x00\x01\x81"),
            (0x7fff_ffff, b"\x7f\x7f\x7f\x7f\x07\x81"),
            (-0x8000_0000, b"\x00\x00\x00\x00\x08\x83"),
            (0x8000_0000, b"\x00\x00\x00\x00\x08\x85"),
            (-0x8000_0001, b"\x01\x00\x00\x00\x08\x86"),
        ] {
            assert_eq!(written(|writer| writer.integer(number)), bytes, "{number}");
            assert_eq!(items(bytes), [Item::Integer(number)]);
        }
        for number in [i128::MAX, i128::MIN, i128::MAX - 1, i128::MIN + 1] {
            let bytes = written(|writer| writer.integer(number));
            assert_eq!(items(&bytes), [Item::Integer(number)]);
        }
        let float = b"\x84\x3f\xf8\0\0\0\0\0\0";
        assert_eq!(written(|writer| writer.float(1.5)), float);
        assert_eq!(items(float), [Item::Float(1.5)]);
        assert_eq!(items(b"\x05\x82hello"), [Item::Bytes(b"hello")]);
        assert_eq!(items(b"\x00\x82"), [Item::Bytes(b"")]);
        assert_eq!(items(b"\x00\x80"), [Item::List(0)]);
        let list = b"\x02\x80\x02\x82pb\x04\x82none";
        let expected = [Item::List(2), Item::Bytes(b"pb"), Item::Bytes(b"none")];
        assert_eq!(items(list), expected);
        let nested = [
            Item::List(2),
            Item::List(0),
            Item::List(1),
            Item::Integer(1),
        ];
        assert_eq!(items(b"\x02\x80\x00\x80\x01\x80\x01\x81"), nested);
    }

    #[test]
    fn numbers_beyond_128_bits_are_told() {
        // 2^127, 2^128 and 2^447, and -2^127 - 1.
        let power = |power: usize, kind| {
            let mut bytes = vec![0; power / 7];
            bytes.extend([1 << (power % 7), kind]);
            bytes
        };
        assert_eq!(items(&power(127, LONG_INT)), [Item::Huge]);
        assert_eq!(items(&power(127, LONG_NEG)), [Item::Integer(i128::MIN)]);
        assert_eq!(items(&power(128, LONG_INT)), [Item::Huge]);
        assert_eq!(items(&power(447, LONG_NEG)), [Item::Huge]);
        let mut bytes = power(127, LONG_NEG);
        bytes[0] = 1;
        assert_eq!(items(&bytes), [Item::Huge]);
    }

    #[test]
    fn what_is_no_banana_is_told_at_once() {
        let zeros = |count| vec![0; count];
        let with = |mut bytes: Vec<u8>, kind| {
            bytes.push(kind);
            bytes
        };
        assert_eq!(scan(&zeros(64)), Ok(None));
        assert_eq!(scan(&with(zeros(64), INT)), Ok(Some(65)));
        assert_eq!(scan(&zeros(65)), Err(BananaError::Prefix));
        assert_eq!(scan(&[0x88]), Err(BananaError::Type(0x88)));
        assert_eq!(scan(&[0xff]), Err(BananaError::Type(0xff)));
        assert_eq!(scan(&[INT]), Err(BananaError::Number(INT)));
        assert_eq!(scan(&[1, FLOAT]), Err(BananaError::Number(FLOAT)));
        assert_eq!(scan(&[0, VOCAB]), Err(BananaError::Word));
        assert_eq!(scan(&[32, VOCAB]), Err(BananaError::Word));
        let before = Scanner::new(100, 100).feed(&[1, VOCAB]);
        assert_eq!(before, Err(BananaError::Word));
        for kind in [LIST, STRING] {
            // 640 KiB is allowed, as far as the expression is; one more is not.
            assert_eq!(
                scan(&[0, 0, 40, kind]),
                if kind == LIST {
                    Err(BananaError::Length(1 << 20))
                } else {
                    Ok(None)
                }
            );
            assert_eq!(scan(&[1, 0, 40, kind]), Err(BananaError::Size));
            let huge = with(vec![0x7f; 64], kind);
            assert_eq!(scan(&huge), Err(BananaError::Size));
        }
    }

    #[test]
    fn expressions_keep_their_limits() {
        let mut scanner = Scanner::new(10, 2);
        assert_eq!(scanner.feed(b"\x08\x82"), Ok(None), "ten bytes in all");
        assert_eq!(scanner.feed(b"12345678"), Ok(Some(8)));
        assert_eq!(scanner.feed(b"\x09\x82"), Err(BananaError::Length(10)));
        let mut scanner = Scanner::new(10, 2);
        assert_eq!(scanner.feed(b"\x01\x80\x01\x80\x00\x80"), Ok(Some(6)));
        assert_eq!(
            scanner.feed(b"\x01\x80\x01\x80\x01\x80"),
            Err(BananaError::Nesting(2))
        );
        let deep = b"\x01\x80".repeat(100_000);
        assert_eq!(scan(&deep), Err(BananaError::Nesting(100)));
        // Lists are counted before their items come; so are numbers that never end.
        assert_eq!(
            Scanner::new(10, 2).feed(b"\x05\x80"),
            Err(BananaError::Length(10))
        );
        let mut scanner = Scanner::new(10, 2);
        assert_eq!(scanner.feed(&[0; 10]), Ok(None));
        assert_eq!(scanner.feed(&[0]), Err(BananaError::Length(10)));
    }

    #[test]
    fn nothing_is_written_that_no_reader_takes() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, true, 2 << 20);
        assert_eq!(writer.bytes(&vec![b'x'; SIZE_LIMIT + 1]), Err(TooLarge));
        assert_eq!(writer.list(SIZE_LIMIT + 1), Err(TooLarge));
        assert_eq!(writer.bytes(&vec![b'x'; SIZE_LIMIT]), Ok(()));
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, false, 10);
        assert_eq!(writer.bytes(b"list"), Ok(()));
        assert_eq!(writer.bytes(b"tuple"), Err(TooLarge));
        assert_eq!(out, b"\x04\x82list");
    }
}
