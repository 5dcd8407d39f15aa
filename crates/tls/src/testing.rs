//! Certificates for tests: an authority of our own, which issues what is asked for. Their validity is fixed, so that the
//! clocks of tests, which begin in 1970, can be before, within and after it.

use crate::{ClientConfig, ClientTls, Identity, Pem, ServerConfig, ServerTls, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use std::time::SystemTime;

/// A time at which the certificates are valid: where the clocks of tests begin.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH
}

/// Who issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(authority(name), key).unwrap())
    }

    /// One that this one has issued.
    pub(crate) fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(authority(name), key, &self.0).unwrap())
    }

    /// This one's certificate, of that name, issued by another.
    pub(crate) fn cross(&self, name: &str, by: &Self) -> String {
        authority(name)
            .signed_by(self.0.key(), &by.0)
            .unwrap()
            .pem()
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = certificate(names);
        change(&mut params);
        self.issue_for(params, KeyPair::generate().unwrap())
    }

    pub(crate) fn issue_ed25519(&self, name: &str) -> Issued {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        self.issue_for(certificate(&[name]), key)
    }

    fn issue_for(&self, params: CertificateParams, key: KeyPair) -> Issued {
        let issued = params.signed_by(&key, &self.0).unwrap();
        Issued {
            certificate: issued.pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A list that revokes these serial numbers.
    pub(crate) fn revoke(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(1970, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1),
            next_update: date_time_ymd(2040, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::from_pem(&[Pem::new("ca.pem", self.pem())]).unwrap()
    }
}

impl Issued {
    /// Signed by itself.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = certificate(&[name]).self_signed(&key).unwrap();
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn certificate_der(&self) -> Vec<u8> {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        der.unwrap().to_vec()
    }

    pub(crate) fn pair(&self) -> String {
        format!("{}{}", self.key, self.certificate)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity_at(now())
    }

    /// As it was made at another time.
    pub(crate) fn identity_at(&self, now: SystemTime) -> Identity {
        let pem = Pem::new("pair.pem", self.pair());
        Identity::from_pem(&pem, &pem, None, now).unwrap()
    }
}

/// Both ends for `localhost`, of one authority.
pub(crate) fn ends() -> (ServerTls, ClientTls) {
    let authority = Authority::new("authority");
    let server = ServerConfig::new(authority.issue(&["localhost"]).identity());
    let client = ClientConfig::new().trust(authority.trust());
    (server.build(now()).unwrap(), client.build().unwrap())
}

fn authority(name: &str) -> CertificateParams {
    let mut params = certificate(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

fn certificate(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}
