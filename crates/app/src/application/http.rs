//! What is served over HTTP: everything at one endpoint is one listener, whichever services it comes from. Opens nothing.

use super::{
    load::{Made, Service},
    serve::Callers,
};
use crate::config::{Problem, Problems, ServeSection};
use std::rc::Rc;
use tress_rpc::{
    ExposureLimits, Object,
    cred::{Portal, Sort},
    http::{Dialect, HttpFactory, Mount},
};

/// The services at each endpoint that has some, in the order of the endpoints.
pub(super) fn groups<'s>(
    services: impl IntoIterator<Item = &'s Rc<Service>>,
) -> Vec<(String, Vec<Rc<Service>>)> {
    let mut groups: Vec<(String, Vec<Rc<Service>>)> = Vec::new();
    for service in services {
        if let Made::Factory(..) = service.made {
            continue;
        }
        for at in &service.section.endpoints {
            match groups.iter_mut().find(|(known, _)| *known == at.value) {
                Some((_, group)) if group.iter().any(|known| Rc::ptr_eq(known, service)) => {}
                Some((_, group)) => group.push(Rc::clone(service)),
                None => groups.push((at.value.clone(), vec![Rc::clone(service)])),
            }
        }
    }
    groups
}

/// Whether those at one endpoint can be there together.
pub(super) fn check(services: &[Rc<Service>], problems: &mut Problems) {
    for (_, group) in groups(services) {
        if let Err(problem) = factory(&group) {
            problems.push(problem);
        }
    }
}

/// One of them, as it is served over HTTP.
struct Section<'s> {
    section: &'s ServeSection,
    object: &'s Object,
    dialects: &'s [Dialect],
    portal: &'s Portal,
    limits: &'s ExposureLimits,
}

impl<'s> Section<'s> {
    fn of(service: &'s Service) -> Option<Self> {
        match &service.made {
            Made::Factory(..) => None,
            Made::Http {
                dialects,
                portal,
                limits,
            } => Some(Self {
                section: &service.section,
                object: &service.object,
                dialects,
                portal,
                limits,
            }),
        }
    }

    fn mount(&self) -> Mount {
        let options = &self.section.options;
        let text = |key| options.optional_string(key).ok().flatten();
        let mut mount = Mount::new(self.object, *self.limits);
        if let Some(prefix) = text("prefix") {
            mount = mount.prefixed(prefix);
        }
        for dialect in self.dialects {
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
                (Some(path), Dialect::Metrics) => mount.speaking_at(Dialect::Metrics, path),
            };
        }
        mount
    }
}

/// All of one endpoint, which are some.
pub(super) fn factory(group: &[Rc<Service>]) -> Result<HttpFactory, Problem> {
    let sections: Vec<Section<'_>> = group.iter().filter_map(|s| Section::of(s)).collect();
    let (first, last) = (&sections[0], &sections[sections.len() - 1]);
    let made = HttpFactory::new(sections.iter().map(|section| section.mount()));
    let mut factory = made.map_err(|error| last.section.problem("as", error.to_string()))?;
    let callers = Callers::of(first.section);
    for Section { section, .. } in &sections {
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
    let portal = first.portal;
    // Who lets everybody in need not be asked, nor offered logins.
    if portal.takes(Sort::Password) || portal.takes(Sort::Token) {
        factory = factory.portal(portal.clone());
    }
    Ok(factory)
}
