//! Certificates by name from a directory of PEM files, loaded anew when it changes. Speaks no TLS.
//!
//! What is served changes in one step or not at all: everything is loaded first, and any error leaves what is served.

use crate::{
    DIRECTORY_LOOK,
    clock::unix_seconds,
    error::{BadTls, Problem},
    fields::Fields,
    files::{Files, Found, Pem, list_pem},
    identity::{Identity, NoMatch, Sections, belongs, check_validity, load, no_certificate},
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tress_core::Time;

/// The same complaint about a directory is logged at most this often.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Certificates above one's own, at most.
const CHAIN_MAX: usize = 8;

/// Which certificate a client gets.
#[derive(Debug)]
pub(crate) struct Names {
    default: Arc<CertifiedKey>,
    by_name: BTreeMap<String, Arc<CertifiedKey>>,
}

impl Names {
    pub(crate) fn one(identity: Identity) -> Self {
        Self {
            default: identity.0,
            by_name: BTreeMap::new(),
        }
    }

    /// The certificate for a name, for the star in place of its first label, or the default.
    pub(crate) fn choose(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let found = name.and_then(|name| {
            let exact = self.by_name.get(name);
            exact.or_else(|| {
                let (_, parent) = name.split_once('.')?;
                self.by_name.get(&format!("*.{parent}"))
            })
        });
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        Some(Arc::clone(self.choose(name.as_deref())))
    }
}

/// A directory, and what was there when it was loaded.
#[derive(Debug)]
pub(crate) struct Directory {
    files: Rc<dyn Files>,
    path: Box<Path>,
    found: Vec<Found>,
    /// The names that are served.
    names: BTreeSet<String>,
    /// When, by the calendar, another certificate may be the right one although no file has changed; seconds.
    stale_at: i64,
    looked: Option<Time>,
    warned: Option<(Time, String)>,
}

impl Directory {
    /// Loads it for the first time.
    pub(crate) fn open(
        files: Rc<dyn Files>,
        path: Box<Path>,
        now: SystemTime,
    ) -> Result<(Self, Names), BadTls> {
        let found = list_pem(&*files, &path)?;
        let loaded = Loaded::read(&*files, &path, &found, now)?;
        for complaint in &loaded.complaints {
            tracing::warn!(target: "tress::tls", "{complaint}");
        }
        let directory = Self {
            files,
            path,
            found,
            names: loaded.served(),
            stale_at: loaded.stale_at,
            looked: None,
            warned: None,
        };
        Ok((directory, loaded.names))
    }

    /// Looks whether anything has changed, unless that was done lately, and gives what is to be served from now on.
    pub(crate) fn look(&mut self, now: Time, wall: SystemTime) -> Option<Names> {
        let is_early = |looked| now.since(looked) < DIRECTORY_LOOK;
        if self.looked.is_some_and(is_early) {
            return None;
        }
        self.looked = Some(now);
        match self.changed(wall) {
            Ok(None) => None,
            Ok(Some((found, loaded))) => {
                for complaint in &loaded.complaints {
                    tracing::warn!(target: "tress::tls", "{complaint}");
                }
                self.found = found;
                self.names = loaded.served();
                self.stale_at = loaded.stale_at;
                self.warned = None;
                tracing::info!(target: "tress::tls", directory = %self.path.display(), names = self.names.len(), "certificates were loaded anew");
                Some(loaded.names)
            }
            Err(problem) => {
                self.warn(now, problem.to_string());
                None
            }
        }
    }

    fn changed(&self, wall: SystemTime) -> Result<Option<(Vec<Found>, Loaded)>, BadTls> {
        let found = list_pem(&*self.files, &self.path)?;
        let is_stale = seconds(wall) > self.stale_at;
        if found == self.found && !is_stale {
            return Ok(None);
        }
        let loaded = Loaded::read(&*self.files, &self.path, &found, wall)?;
        // A key without its certificate where a name was served before: somebody is in the middle of replacing both.
        let lost = self
            .names
            .iter()
            .find(|name| !loaded.names.by_name.contains_key(*name));
        if let (Some(_), Some(unused)) = (lost, &loaded.unused_key) {
            return Err(unused.clone());
        }
        Ok(Some((found, loaded)))
    }

    fn warn(&mut self, now: Time, problem: String) {
        let said_lately =
            |(at, said): &(Time, String)| *said == problem && now.since(*at) < WARN_EVERY;
        if self.warned.as_ref().is_some_and(said_lately) {
            return;
        }
        tracing::warn!(target: "tress::tls", directory = %self.path.display(), "certificates stay as they were: {problem}");
        self.warned = Some((now, problem));
    }
}

/// What a directory holds.
struct Loaded {
    names: Names,
    stale_at: i64,
    complaints: Vec<BadTls>,
    unused_key: Option<BadTls>,
}

/// A certificate and the file that it stands in.
type Stored<'a> = (&'a Pem, CertificateDer<'static>);

impl Loaded {
    fn read(
        files: &dyn Files,
        directory: &Path,
        found: &[Found],
        now: SystemTime,
    ) -> Result<Self, BadTls> {
        let pems = found.iter().map(|found| Pem::read(files, &found.path));
        let pems = pems.collect::<Result<Vec<_>, _>>()?;
        let mut certificates = Vec::new();
        let mut keys = Vec::new();
        for pem in &pems {
            let sections = Sections::of(pem)?;
            for certificate in sections.certificates {
                Fields::read(&certificate).ok_or_else(|| no_certificate(pem))?;
                certificates.push((pem, certificate));
            }
            keys.extend(sections.keys.into_iter().map(|key| (pem, key)));
        }
        Self::pair(directory, &certificates, keys, now)
    }

    /// Finds for each key its certificates, and for each name the best of them.
    fn pair(
        directory: &Path,
        certificates: &[Stored<'_>],
        keys: Vec<(&Pem, PrivateKeyDer<'static>)>,
        now: SystemTime,
    ) -> Result<Self, BadTls> {
        let mut pairs: Vec<(&Pem, CertifiedKey)> = Vec::new();
        let mut loaded = Draft::new(now);
        for (key_pem, key) in keys {
            let before = pairs.len();
            let key = load(key_pem, key)?;
            for (pem, certificate) in certificates {
                if belongs(certificate, &key).map_err(|NoMatch| no_certificate(pem))? {
                    let pair = CertifiedKey::new(vec![certificate.clone()], Arc::clone(&key));
                    pairs.push((pem, pair));
                }
            }
            if pairs.len() == before {
                loaded.unused(key_pem);
            }
        }
        let has_key = |certificate: &CertificateDer<'_>| {
            pairs.iter().any(|(_, pair)| pair.cert[0] == *certificate)
        };
        let issuers: Vec<&CertificateDer<'static>> = certificates
            .iter()
            .map(|(_, certificate)| certificate)
            .filter(|certificate| !has_key(certificate))
            .collect();
        for (pem, mut pair) in pairs {
            complete(&mut pair.cert, &issuers);
            loaded.add(pem, pair);
        }
        loaded.finish(directory)
    }
}

/// What is being put together.
struct Draft {
    now: SystemTime,
    default: Option<Arc<CertifiedKey>>,
    by_name: BTreeMap<String, (i64, Arc<CertifiedKey>)>,
    stale_at: i64,
    complaints: Vec<BadTls>,
    unused_key: Option<BadTls>,
}

impl Draft {
    fn new(now: SystemTime) -> Self {
        Self {
            now,
            default: None,
            by_name: BTreeMap::new(),
            stale_at: i64::MAX,
            complaints: Vec::new(),
            unused_key: None,
        }
    }

    fn unused(&mut self, key: &Pem) {
        let what = "its private key belongs to no certificate of the directory";
        let unused = key.bad(Problem::Malformed(what.to_owned()));
        self.unused_key.get_or_insert_with(|| unused.clone());
        self.complaints.push(unused);
    }

    fn add(&mut self, pem: &Pem, pair: CertifiedKey) {
        let pair = Arc::new(pair);
        let Some(fields) = Fields::read(&pair.cert[0]) else {
            return;
        };
        let (from, until) = (*fields.validity.start(), *fields.validity.end());
        if let Err(problem) = check_validity(&fields, self.now) {
            if seconds(self.now) < from {
                self.stale_at = self.stale_at.min(from - 1);
            }
            self.complaints.push(pem.bad(problem));
            return;
        }
        self.stale_at = self.stale_at.min(until);
        for name in fields.names {
            let name = name.to_ascii_lowercase();
            let best = self.by_name.get(&name).map(|(until, _)| *until);
            if best.is_none_or(|best| until > best) {
                self.by_name.insert(name, (until, Arc::clone(&pair)));
            }
        }
        self.default.get_or_insert(pair);
    }

    fn finish(mut self, directory: &Path) -> Result<Loaded, BadTls> {
        let by_name: BTreeMap<_, _> = std::mem::take(&mut self.by_name)
            .into_iter()
            .map(|(name, (_, pair))| (name, pair))
            .collect();
        let default = match self.default {
            Some(default) if !by_name.is_empty() => default,
            _ => {
                // The only one there is, is what is wrong.
                let only = self.complaints.into_iter().next();
                let none = || BadTls::new(directory.display().to_string(), Problem::NoServer);
                return Err(only.unwrap_or_else(none));
            }
        };
        Ok(Loaded {
            names: Names { default, by_name },
            stale_at: self.stale_at,
            complaints: self.complaints,
            unused_key: self.unused_key,
        })
    }
}

impl Loaded {
    fn served(&self) -> BTreeSet<String> {
        self.names.by_name.keys().cloned().collect()
    }
}

/// Adds who issued the certificate, and who issued that. The last, which issued itself, the client must have anyway.
fn complete(chain: &mut Vec<CertificateDer<'static>>, issuers: &[&CertificateDer<'static>]) {
    while chain.len() <= CHAIN_MAX {
        let last = chain.last().and_then(|last| Fields::read(last));
        let Some(last) = last.filter(|fields| fields.issuer != fields.subject) else {
            return;
        };
        let above = issuers.iter().find(|issuer| {
            let fields = Fields::read(issuer);
            fields.is_some_and(|f| f.subject == last.issuer && f.issuer != f.subject)
        });
        let Some(above) = above else { return };
        if chain.contains(above) {
            return;
        }
        let above = (*above).clone();
        chain.push(above);
    }
}

fn seconds(time: SystemTime) -> i64 {
    i64::try_from(unix_seconds(time)).unwrap_or(i64::MAX)
}
