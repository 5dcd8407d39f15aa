//! Whom to trust: the platform's authorities or one's own, and lists of what they revoked.

use crate::{
    error::{BadTls, Problem},
    files::{Files, Pem},
    identity::{Sections, no_certificate},
    provider,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::CertificateRevocationListDer,
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use std::{path::Path, sync::Arc};

/// Authorities whose certificates are accepted.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Roots,
    lists: Vec<CertificateRevocationListDer<'static>>,
    /// What errors name.
    name: String,
}

#[derive(Clone, Debug)]
enum Roots {
    Platform,
    Own(Arc<RootCertStore>),
}

impl Trust {
    /// What the operating system trusts. For clients: nobody's clients are trusted by a whole platform.
    #[must_use]
    pub fn platform() -> Self {
        Self {
            roots: Roots::Platform,
            lists: Vec::new(),
            name: "the platform's authorities".to_owned(),
        }
    }

    /// The certificates in these texts, and no others. A certificate that is nobody's authority may stand for itself.
    ///
    /// # Errors
    /// No certificate in one of them, or a broken one.
    pub fn from_pem(authorities: &[Pem]) -> Result<Self, BadTls> {
        let mut roots = RootCertStore::empty();
        for pem in authorities {
            for certificate in Sections::of(pem)?.certificates(pem)? {
                roots.add(certificate).map_err(|_| no_certificate(pem))?;
            }
        }
        Ok(Self {
            roots: Roots::Own(Arc::new(roots)),
            lists: Vec::new(),
            name: authorities
                .first()
                .map_or_else(String::new, |pem| pem.name.clone()),
        })
    }

    /// The same from a file, or from all files of a directory that end in `.pem` (Twisted's `trustRoots`).
    ///
    /// # Errors
    /// Nothing can be read there, no certificate is in it, or a broken one.
    pub fn read(files: &dyn Files, path: impl AsRef<Path>) -> Result<Self, BadTls> {
        Self::from_pem(&Pem::read_all(files, path)?)
    }

    /// What has been revoked: lists (CRL) in PEM. From then on a certificate of which no list of its issuer tells is
    /// refused. Lists apply to one's own authorities only, as the platform has its own way.
    ///
    /// # Errors
    /// No list in one of them; a broken one is found when the configuration is built.
    pub fn revocation_lists(mut self, lists: &[Pem]) -> Result<Self, BadTls> {
        for pem in lists {
            let sections = Sections::of(pem)?;
            if sections.revocation_lists.is_empty() {
                return Err(pem.bad(Problem::NoRevocationList));
            }
            let list = Self {
                lists: sections
                    .revocation_lists
                    .into_iter()
                    .map(Into::into)
                    .collect(),
                ..self.clone()
            };
            // One at a time, so that the error names the file.
            list.check_lists().map_err(|problem| pem.bad(problem))?;
            self.lists.extend(list.lists);
        }
        Ok(self)
    }

    fn check_lists(&self) -> Result<(), Problem> {
        match &self.roots {
            Roots::Platform => {
                let why = "revocation lists need authorities of one's own";
                Err(Problem::Malformed(why.to_owned()))
            }
            Roots::Own(roots) => {
                let roots = Arc::clone(roots);
                let builder = WebPkiServerVerifier::builder_with_provider(roots, provider())
                    .with_crls(self.lists.iter().cloned());
                builder.build().map(drop).map_err(verifier_problem)
            }
        }
    }

    /// Verifies servers.
    pub(crate) fn server_verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, BadTls> {
        let bad = |problem| BadTls::new(self.name.clone(), problem);
        match &self.roots {
            Roots::Platform => {
                let verifier = rustls_platform_verifier::Verifier::new(provider())
                    .map_err(|error| bad(Problem::Unreadable(error.to_string())))?;
                Ok(Arc::new(verifier))
            }
            Roots::Own(roots) => {
                let builder =
                    WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider())
                        .with_crls(self.lists.iter().cloned());
                let verifier = builder.build().map_err(|e| bad(verifier_problem(e)))?;
                Ok(verifier)
            }
        }
    }

    /// Verifies clients, which must have a certificate, or may do without.
    pub(crate) fn client_verifier(
        &self,
        required: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, BadTls> {
        let bad = |problem| BadTls::new(self.name.clone(), problem);
        let Roots::Own(roots) = &self.roots else {
            let why = "clients are verified against authorities of one's own";
            return Err(bad(Problem::Malformed(why.to_owned())));
        };
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
                .with_crls(self.lists.iter().cloned());
        if !required {
            builder = builder.allow_unauthenticated();
        }
        builder
            .build()
            .map_err(|error| bad(verifier_problem(error)))
    }
}

fn verifier_problem(error: VerifierBuilderError) -> Problem {
    match error {
        VerifierBuilderError::NoRootAnchors => Problem::NoCertificate,
        VerifierBuilderError::InvalidCrl(error) => {
            Problem::Malformed(format!("revocation list: {error:?}"))
        }
        other => Problem::Malformed(other.to_string()),
    }
}
