//! What is served over HTTP: everything at one endpoint is one listener, whichever sections it comes from. Opens nothing.

use super::{PortService, serve::Callers};
use crate::config::{Problem, Problems, ServeSection};
use tress_core::SharedFactory;
use tress_rpc::{
    ExposureLimits, Object,
    cred::{Portal, Sort},
    http::{Dialect, HttpFactory, Mount},
};

/// The sections that are served over HTTP, in the order of the file.
#[derive(Default)]
pub(super) struct Http(Vec<Section>);

struct Section {
    section: ServeSection,
    object: Object,
    dialects: Vec<Dialect>,
    portal: Portal,
    limits: ExposureLimits,
}

impl Http {
    pub(super) fn add(
        &mut self,
        section: ServeSection,
        object: Object,
        dialects: Vec<Dialect>,
        portal: Portal,
        limits: ExposureLimits,
    ) {
        self.0.push(Section {
            section,
            object,
            dialects,
            portal,
            limits,
        });
    }

    /// A listener for each endpoint.
    pub(super) fn ports(&self, problems: &mut Problems) -> Vec<PortService> {
        let mut endpoints: Vec<&str> = Vec::new();
        for at in self.0.iter().flat_map(|section| &section.section.endpoints) {
            if !endpoints.contains(&&*at.value) {
                endpoints.push(&at.value);
            }
        }
        let mut ports = Vec::new();
        for at in endpoints {
            let here = self
                .0
                .iter()
                .filter(|section| section.is_at(at))
                .collect::<Vec<_>>();
            match factory(&here) {
                Ok(factory) => {
                    let factory = SharedFactory::new(factory);
                    ports.push(PortService::new(at.to_owned(), "http", factory));
                }
                Err(problem) => problems.push(problem),
            }
        }
        ports
    }
}

impl Section {
    fn is_at(&self, at: &str) -> bool {
        self.section.endpoints.iter().any(|own| own.value == at)
    }

    fn mount(&self) -> Mount {
        let options = &self.section.options;
        let text = |key| options.optional_string(key).ok().flatten();
        let mut mount = Mount::new(&self.object, self.limits);
        if let Some(prefix) = text("prefix") {
            mount = mount.prefixed(prefix);
        }
        for dialect in &self.dialects {
            mount = match (text("path"), dialect) {
                (None, dialect) => mount.speaking(*dialect),
                (Some(path), Dialect::Json) => {
                    let name = self.object.descriptor().name;
                    let name = text("prefix").unwrap_or(name);
                    mount.speaking_at(Dialect::Json, format!("{path}/{name}"))
                }
                (Some(path), Dialect::JsonRpc) => {
                    mount.speaking_at(Dialect::JsonRpc, format!("{path}/jsonrpc"))
                }
                (Some(path), Dialect::XmlRpc) => {
                    mount.speaking_at(Dialect::XmlRpc, format!("{path}/RPC2"))
                }
            };
        }
        mount
    }
}

/// All of one endpoint, which are some.
fn factory(sections: &[&Section]) -> Result<HttpFactory, Problem> {
    let (first, last) = (sections[0], sections[sections.len() - 1]);
    let made = HttpFactory::new(sections.iter().map(|section| section.mount()));
    let mut factory = made.map_err(|error| last.section.problem("as", error.to_string()))?;
    let callers = Callers::of(&first.section);
    for Section { section, .. } in sections {
        let options = &section.options;
        for host in options.optional_strings("hosts")?.unwrap_or_default() {
            factory = factory.allow_host(&host.value);
        }
        for origin in options.optional_strings("origins")?.unwrap_or_default() {
            factory = factory.allow_origin(&origin.value);
        }
        if !callers.are(&Callers::of(section)) {
            let message = format!(
                "sections at one endpoint share who may call; `{}` has another `auth` or `anonymous`",
                first.section.what
            );
            return Err(section.problem("auth", message));
        }
    }
    let portal = &first.portal;
    // Who lets everybody in need not be asked, nor offered logins.
    if portal.takes(Sort::Password) || portal.takes(Sort::Token) {
        factory = factory.portal(portal.clone());
    }
    Ok(factory)
}
