//! A certificate with its chain and its key, from PEM. Knows no connection.

use crate::{
    clock::unix_seconds,
    error::{BadTls, Problem},
    fields::{Fields, calendar},
    files::{Files, Pem},
    provider,
};
use rustls::{
    Error as RustlsError,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject, pem::SectionKind},
    sign::{CertifiedKey, SigningKey},
};
use std::{fmt, path::Path, sync::Arc, time::SystemTime};

/// Who we are: a certificate, the chain above it, and the private key.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<CertifiedKey>);

impl Identity {
    /// From PEM. `certificate` begins with our own certificate; what issued it may follow, there or in `chain`. `key`
    /// may be the same text. The certificate must be valid at `now`.
    ///
    /// # Errors
    /// Names the file and what is wrong with it: no certificate, no key, not for each other, expired, not yet valid,
    /// malformed.
    pub fn from_pem(
        certificate: &Pem,
        key: &Pem,
        chain: Option<&Pem>,
        now: SystemTime,
    ) -> Result<Self, BadTls> {
        let mut certificates = Sections::of(certificate)?.certificates(certificate)?;
        if let Some(chain) = chain {
            certificates.extend(Sections::of(chain)?.certificates(chain)?);
        }
        let own = &certificates[0];
        let fields = Fields::read(own).ok_or_else(|| no_certificate(certificate))?;
        let mut keys = Sections::of(key)?.keys;
        if keys.is_empty() {
            return Err(key.bad(missing_key(key)));
        }
        let signing = load(key, keys.swap_remove(0))?;
        if !belongs(own, &signing).map_err(|NoMatch| no_certificate(certificate))? {
            return Err(certificate.bad(Problem::Mismatch {
                key: key.name.clone(),
            }));
        }
        check_validity(&fields, now).map_err(|problem| certificate.bad(problem))?;
        Ok(Self(Arc::new(CertifiedKey::new(certificates, signing))))
    }

    /// Reads the files and makes an identity of them.
    ///
    /// # Errors
    /// Those of [`Pem::read`] and [`Identity::from_pem`].
    pub fn read(
        files: &dyn Files,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
        chain: Option<&Path>,
        now: SystemTime,
    ) -> Result<Self, BadTls> {
        let certificate = Pem::read(files, certificate)?;
        let key = Pem::read(files, key)?;
        let chain = chain.map(|chain| Pem::read(files, chain)).transpose()?;
        Self::from_pem(&certificate, &key, chain.as_ref(), now)
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.0.cert.len())
    }
}

/// What a PEM file holds.
pub(crate) struct Sections {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) keys: Vec<PrivateKeyDer<'static>>,
    pub(crate) revocation_lists: Vec<Vec<u8>>,
}

impl Sections {
    pub(crate) fn of(pem: &Pem) -> Result<Self, BadTls> {
        let mut sections = Self {
            certificates: Vec::new(),
            keys: Vec::new(),
            revocation_lists: Vec::new(),
        };
        for item in <(SectionKind, Vec<u8>)>::pem_slice_iter(&pem.text) {
            let (kind, der) = item.map_err(|error| pem.bad(Problem::Malformed(broken(&error))))?;
            match kind {
                SectionKind::Certificate => sections.certificates.push(der.into()),
                SectionKind::PrivateKey => sections.keys.push(PrivateKeyDer::Pkcs8(der.into())),
                SectionKind::RsaPrivateKey => sections.keys.push(PrivateKeyDer::Pkcs1(der.into())),
                SectionKind::EcPrivateKey => sections.keys.push(PrivateKeyDer::Sec1(der.into())),
                SectionKind::Crl => sections.revocation_lists.push(der),
                _ => {}
            }
        }
        Ok(sections)
    }

    /// At least one, and all of them readable.
    pub(crate) fn certificates(self, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, BadTls> {
        if self.certificates.is_empty() {
            return Err(pem.bad(Problem::NoCertificate));
        }
        for certificate in &self.certificates {
            let fields = Fields::read(certificate).ok_or_else(|| no_certificate(pem))?;
            if !fields.is_version_3 {
                return Err(pem.bad(Problem::OldVersion));
            }
        }
        Ok(self.certificates)
    }
}

/// A key that can sign.
pub(crate) fn load(pem: &Pem, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, BadTls> {
    let key = provider().key_provider.load_private_key(key);
    key.map_err(|_| pem.bad(Problem::UnsupportedKey))
}

/// Whether the certificate is for this key.
pub(crate) fn belongs(
    certificate: &CertificateDer<'static>,
    key: &Arc<dyn SigningKey>,
) -> Result<bool, NoMatch> {
    let pair = CertifiedKey::new(vec![certificate.clone()], Arc::clone(key));
    match pair.keys_match() {
        Ok(()) => Ok(true),
        Err(RustlsError::InconsistentKeys(_)) => Ok(false),
        Err(_) => Err(NoMatch),
    }
}

/// It is no certificate with a public key.
pub(crate) struct NoMatch;

pub(crate) fn check_validity(fields: &Fields<'_>, now: SystemTime) -> Result<(), Problem> {
    let now = i64::try_from(unix_seconds(now)).unwrap_or(i64::MAX);
    let (from, until) = (*fields.validity.start(), *fields.validity.end());
    if now < from {
        let from = calendar(from);
        return Err(Problem::NotYetValid { from });
    }
    if now > until {
        let at = calendar(until);
        return Err(Problem::Expired { at });
    }
    Ok(())
}

pub(crate) fn no_certificate(pem: &Pem) -> BadTls {
    let what = "what stands in `-----BEGIN CERTIFICATE-----` is no X.509 certificate";
    pem.bad(Problem::Malformed(what.to_owned()))
}

fn missing_key(key: &Pem) -> Problem {
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY";
    let is_encrypted = key.text.windows(encrypted.len()).any(|w| w == encrypted);
    if is_encrypted {
        Problem::EncryptedKey
    } else {
        Problem::NoKey
    }
}

fn broken(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error as E;
    match error {
        E::MissingSectionEnd { end_marker } => {
            let what = String::from_utf8_lossy(end_marker);
            format!("`-----END {what}-----` is missing")
        }
        E::IllegalSectionStart { line } => {
            format!("`{}` begins nothing", String::from_utf8_lossy(line).trim())
        }
        other => other.to_string(),
    }
}
