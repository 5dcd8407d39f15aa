//! The few fields of a certificate that choosing one needs: validity, issuer, subject, DNS names. Verifies nothing, and
//! never panics: rustls has the last word on whether a certificate is any good.

use std::ops::RangeInclusive;

/// What a certificate says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    /// The issuer's name, as it stands in the certificate.
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// Seconds since 1970.
    pub(crate) validity: RangeInclusive<i64>,
    /// The DNS names of its subjectAltName, in its order.
    pub(crate) names: Vec<&'a str>,
}

const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]` of a TBSCertificate.
const VERSION: u8 = 0xa0;
/// `[3]` of a TBSCertificate.
const EXTENSIONS: u8 = 0xa3;
/// `[2]` of a GeneralName.
const DNS_NAME: u8 = 0x82;
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

impl<'a> Fields<'a> {
    /// `None` when it is no certificate.
    pub(crate) fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut tbs = Der(certificate).enter(SEQUENCE)?.enter(SEQUENCE)?;
        tbs.skip_if(VERSION)?;
        tbs.take(INTEGER)?; // serial number
        tbs.take(SEQUENCE)?; // signature algorithm
        let issuer = tbs.take(SEQUENCE)?;
        let mut validity = Der(tbs.take(SEQUENCE)?);
        let not_before = validity.time()?;
        let not_after = validity.time()?;
        let subject = tbs.take(SEQUENCE)?;
        tbs.take(SEQUENCE)?; // public key
        let mut names = Vec::new();
        while let Some((tag, value)) = tbs.next() {
            if tag == EXTENSIONS {
                names = alternative_names(value)?;
            }
        }
        Some(Self {
            issuer,
            subject,
            validity: not_before..=not_after,
            names,
        })
    }
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut extensions = Der(extensions).enter(SEQUENCE)?;
    while !extensions.0.is_empty() {
        let mut extension = Der(extensions.take(SEQUENCE)?);
        let id = extension.take(OBJECT_IDENTIFIER)?;
        extension.skip_if(BOOLEAN)?;
        let value = extension.take(OCTET_STRING)?;
        if id != SUBJECT_ALT_NAME {
            continue;
        }
        let mut all = Der(value).enter(SEQUENCE)?;
        while let Some((tag, name)) = all.next() {
            if tag == DNS_NAME {
                names.push(std::str::from_utf8(name).ok()?);
            }
        }
    }
    Some(names)
}

/// What is left of a value: one element after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and its content. `None` at the end, and when it is broken.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                let length = bytes
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    fn enter(mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }

    fn skip_if(&mut self, tag: u8) -> Option<()> {
        if self.0.first() == Some(&tag) {
            self.next()?;
        }
        Some(())
    }

    /// Seconds since 1970.
    fn time(&mut self) -> Option<i64> {
        let (tag, text) = self.next()?;
        let mut digits = Digits(text);
        let year = match tag {
            // RFC 5280, 4.1.2.5.1: two digits of a year from 1950 to 2049.
            UTC_TIME => match digits.two()? {
                year @ 0..=49 => 2000 + year,
                year => 1900 + year,
            },
            GENERALIZED_TIME => digits.two()? * 100 + digits.two()?,
            _ => return None,
        };
        let (month, day) = (digits.two()?, digits.two()?);
        let seconds = digits.two()? * 3600 + digits.two()? * 60 + digits.two()?;
        let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
        (is_date && digits.0 == b"Z").then(|| days_since_1970(year, month, day) * 86_400 + seconds)
    }
}

struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn two(&mut self) -> Option<i64> {
        let (&[tens, ones], rest) = self.0.split_first_chunk()?;
        let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
        self.0 = rest;
        is_number.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    }
}

/// Of the Gregorian calendar. Years begin in March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// `2026-11-23 10:00:00 UTC`.
pub(crate) fn calendar(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_there_and_back() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 23), 20_780),
            ((1950, 1, 1), -7_305),
            ((2100, 3, 1), 47_541),
        ] {
            let (year, month, day) = date;
            assert_eq!(days_since_1970(year, month, day), days);
            let text = format!("{year:04}-{month:02}-{day:02} 00:00:01 UTC");
            assert_eq!(calendar(days * 86_400 + 1), text);
        }
    }

    #[test]
    fn times_of_both_kinds() {
        #[track_caller]
        fn check(tag: u8, text: &str, expected: Option<i64>) {
            let length = u8::try_from(text.len()).expect("short");
            let der = [&[tag, length], text.as_bytes()].concat();
            assert_eq!(Der(&der).time(), expected, "{text}");
        }
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(UTC_TIME, "500101000000Z", Some(-7_305 * 86_400));
        check(GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000));
        check(UTC_TIME, "701301000000Z", None);
        check(UTC_TIME, "700101000000", None);
        check(UTC_TIME, "70010100000xZ", None);
        check(OCTET_STRING, "700101000000Z", None);
    }

    #[test]
    fn a_certificate_cut_anywhere_or_with_any_byte_changed_is_no_panic() {
        let whole = crate::testing::Issued::new("localhost").certificate_der();
        let fields = Fields::read(&whole).expect("it is one");
        assert_eq!(fields.names, ["localhost"]);
        for end in 0..whole.len() {
            assert_eq!(Fields::read(&whole[..end]), None);
        }
        for index in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[index] ^= flip;
                Fields::read(&broken);
            }
        }
    }
}
