//! What is served over HTTP: everything at one endpoint is one listener, whichever sections it comes from. Opens nothing.

use super::PortService;
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
}

impl Http {
    pub(super) fn add(
        &mut self,
        section: ServeSection,
        object: Object,
        dialects: Vec<Dialect>,
        portal: Portal,
    ) {
        self.0.push(Section {
            section,
            object,
            dialects,
            portal,
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

    /// Who may call, as the file says it.
    fn access(&self) -> (Vec<String>, Option<bool>) {
        let options = &self.section.options;
        let names = options
            .optional_strings("auth")
            .ok()
            .flatten()
            .unwrap_or_default();
        let names = names.into_iter().map(|name| name.value).collect();
        let said = options
            .has("anonymous")
            .then(|| options.bool("anonymous", false));
        (names, said.and_then(Result::ok))
    }

    fn mount(&self) -> Mount {
        let options = &self.section.options;
        let text = |key| options.optional_string(key).ok().flatten();
        let mut mount = Mount::new(&self.object, ExposureLimits::default());
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

/// All of one endpoint.
fn factory(sections: &[&Section]) -> Result<HttpFactory, Problem> {
    let mounts = sections.iter().map(|section| section.mount());
    let last = sections.last().map(|section| &section.section);
    let made = HttpFactory::new(mounts);
    let mut factory = match (made, last) {
        (Ok(factory), _) => factory,
        (Err(error), Some(last)) => return Err(last.problem("as", error.to_string())),
        (Err(error), None) => unreachable!("an endpoint of no section: {error}"),
    };
    for section in sections {
        let options = &section.section.options;
        for host in options.optional_strings("hosts")?.unwrap_or_default() {
            factory = factory.allow_host(&host.value);
        }
        for origin in options.optional_strings("origins")?.unwrap_or_default() {
            factory = factory.allow_origin(&origin.value);
        }
        if let Some(first) = sections
            .first()
            .filter(|first| first.access() != section.access())
        {
            let message = format!(
                "sections at one endpoint share who may call; `{}` has another `auth` or `anonymous`",
                first.section.what
            );
            return Err(section.section.problem("auth", message));
        }
    }
    let portal = sections.first().map(|section| section.portal.clone());
    // Who lets everybody in need not be asked, nor offered logins.
    let portal = portal.filter(|portal| portal.takes(Sort::Password) || portal.takes(Sort::Token));
    Ok(match portal {
        Some(portal) => factory.portal(portal),
        None => factory,
    })
}
