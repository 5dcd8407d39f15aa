//! The few fields of a certificate that choosing one needs: version, validity, issuer, subject, DNS names. Verifies
//! nothing: rustls has the last word on whether a certificate is any good.

use std::ops::RangeInclusive;
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, time::ASN1Time,
    x509::X509Version,
};

/// What a certificate says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    /// Whether it is of version 3, as all that serve a name are.
    pub(crate) is_version_3: bool,
    /// The issuer's name, as it stands in the certificate.
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) validity: RangeInclusive<i64>,
    /// The DNS names of its subjectAltName, in its order.
    pub(crate) names: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    /// `None` when it is no certificate.
    pub(crate) fn read(certificate: &'a [u8]) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        let names = parsed.subject_alternative_name().ok()?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let dns_name = |name: &GeneralName<'a>| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        };
        let fields = Self {
            is_version_3: parsed.version() == X509Version::V3,
            issuer: parsed.issuer().as_raw().to_vec(),
            subject: parsed.subject().as_raw().to_vec(),
            validity: validity.not_before.timestamp()..=validity.not_after.timestamp(),
            names: names.filter_map(dns_name).collect(),
        };
        rest.is_empty().then_some(fields)
    }
}

/// `2026-11-23 10:00:00 UTC`.
pub(crate) fn calendar(seconds: i64) -> String {
    let Ok(time) = ASN1Time::from_timestamp(seconds) else {
        return format!("second {seconds} since 1970");
    };
    let time = time.to_datetime();
    let ((year, month, day), (hour, minute, second)) = (time.to_calendar_date(), time.to_hms());
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_do() {
        assert_eq!(calendar(1), "1970-01-01 00:00:01 UTC");
        assert_eq!(calendar(11_016 * 86_400 - 1), "2000-02-28 23:59:59 UTC");
        assert_eq!(calendar(20_780 * 86_400 + 3_600), "2026-11-23 01:00:00 UTC");
        assert!(calendar(i64::MAX).contains("since 1970"));
    }

    #[test]
    fn a_certificate_cut_anywhere_or_with_any_byte_changed_is_no_panic() {
        let whole = crate::testing::Issued::new("localhost").certificate_der();
        let fields = Fields::read(&whole).expect("it is one");
        assert_eq!(
            (&*fields.names, fields.is_version_3),
            (&["localhost"][..], true)
        );
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
