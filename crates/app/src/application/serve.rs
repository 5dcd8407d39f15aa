//! Goes through the `[auth.NAME]` and `[[serve]]` sections of a file that was read. Opens nothing, and knows no kind and no
//! protocol by name.

use super::{
    guard::Reach,
    load::{Checked, Loader, Made, Service},
};
use crate::{
    config::{OptionSpec, Problem, ProvideSection, SERVE_OPTIONS, ServeSection, Text},
    registry::{Access, Exposure, Make, Serving},
};
use std::rc::Rc;
use tress_core::{
    Result,
    endpoint::{BadEndpoint, EndpointSpec, Side},
    limits::Unit,
    wording::{one_of, unknown},
};
use tress_rpc::{
    Descriptor, ExposureLimits, Object,
    cred::{Anonymous, Checker, Portal, Sort},
    http::Dialect,
};

impl<'l> Loader<'l> {
    /// `[auth.NAME]`
    pub(super) fn auth(&mut self, mut section: ProvideSection) {
        let mut checker = None;
        if let Some(kind) = self.registry.checker(&section.kind) {
            let before = self.problems.count();
            section.options.check(kind.options, &mut self.problems);
            if self.problems.count() == before {
                match (kind.make)(&section.options, self.registry.files()) {
                    Ok(made) => checker = Some(made),
                    Err(problem) => self.problems.push(problem),
                }
            }
        } else {
            let known: Vec<&str> = self.registry.checkers().map(|kind| kind.name).collect();
            let message = unknown("kind", &section.kind, &known);
            self.problems.push(section.problem("kind", message));
        }
        let known = self.known_checkers();
        let checked = Checked::new(&section.name, &section.kind, checker, &known);
        self.loaded.checkers.push(checked);
    }

    /// `[[serve]]`
    pub(super) fn serve(&mut self, mut section: ServeSection, name: String) {
        let before = self.problems.count();
        for at in &section.endpoints {
            self.endpoint(&section, at);
        }
        let mut exposures = Vec::new();
        for name in &section.protocols {
            exposures.extend(self.exposure(&section, name));
        }
        let alone = |(exposure, _): &&(&Exposure, _)| matches!(exposure.make, Make::Factory(_));
        if let (Some((alone, _)), Some(second)) =
            (exposures.iter().find(alone), section.protocols.get(1))
        {
            let message = format!(
                "`{}` needs an endpoint of its own; write a [[serve]] section for it",
                alone.name
            );
            let problem = section.problem_at("as", second, message);
            self.problems.push(problem);
        }
        let Some(&(exposure, interface)) = exposures.first() else {
            return;
        };
        let options: Vec<OptionSpec> = [SERVE_OPTIONS, exposure.options].concat();
        section.options.check(&options, &mut self.problems);
        let limits = self.exposure_limits(&section, exposure);
        let portal = self.portal(&section, exposure);
        self.guard(&section, interface);
        if self.problems.count() > before {
            return;
        }
        let mut provided = self.loaded.providers.iter();
        let provided = provided.find(|p| p.name == section.what);
        let Some(provider) = provided.and_then(|provided| provided.provider.clone()) else {
            return; // whatever is wrong with it has been said
        };
        let object = provider.borrow().object(interface.name);
        // A provider may give all of its services clones of one.
        let Some(object) = object.map(Object::counted_apart) else {
            let interface = interface.name;
            let message = format!("this provider offers no `{interface}`, although its kind does");
            self.problems.push(section.problem("what", message));
            return;
        };
        let made = match exposure.make {
            Make::Factory(make) => {
                let serving = Serving {
                    object: object.clone(),
                    options: &section.options,
                    reactor: self.reactor,
                    portal,
                    limits,
                };
                match make(&serving) {
                    Ok(factory) => Made::Factory(exposure.name, factory),
                    Err(problem) => return self.problems.push(problem),
                }
            }
            Make::Http(_) => Made::Http {
                dialects: exposures.iter().filter_map(dialect).collect(),
                portal,
                limits,
            },
        };
        let service = Service {
            section,
            interface,
            object,
            made,
        };
        self.loaded.services.push((name, Rc::new(service)));
    }

    /// How the section's object is served through the protocol of this name, and which of its interfaces.
    fn exposure(
        &mut self,
        section: &ServeSection,
        name: &Text,
    ) -> Option<(&'l Exposure, &'static Descriptor)> {
        let known = self.registry.protocols();
        if !known.contains(&name.value.as_str()) {
            let message = unknown("protocol", &name.value, &known);
            let problem = section.problem_at("as", name, message);
            self.problems.push(problem);
            return None;
        }
        let mut provided = self.loaded.providers.iter();
        let kind = &provided.find(|p| p.name == section.what)?.kind?;
        let wanted = section.options.optional_string("interface").ok().flatten();
        let offered: Vec<&str> = kind
            .interfaces
            .iter()
            .map(|interface| interface.name)
            .collect();
        if let Some(wanted) = wanted.filter(|wanted| !offered.contains(wanted)) {
            let message = unknown("interface", wanted, &offered);
            self.problems.push(section.problem("interface", message));
            return None;
        }
        match self.registry.exposure(kind, &name.value, wanted) {
            Ok(found) => Some(found),
            Err(why) => {
                let mut message = format!(
                    "`{}` is a `{}`, which cannot be served as `{}`",
                    section.what, kind.name, name.value,
                );
                if let Some(why) = why {
                    message.push_str(&format!(": {why}"));
                }
                let expected = one_of(&self.registry.protocols_of(kind));
                message.push_str(&format!("; expected {expected}"));
                let problem = section.problem_at("as", name, message);
                self.problems.push(problem);
                None
            }
        }
    }

    /// What callers are allowed: the defaults, changed by the section.
    fn exposure_limits(&mut self, section: &ServeSection, exposure: &Exposure) -> ExposureLimits {
        let mut limits = ExposureLimits::default();
        let options = &section.options;
        for limit in ExposureLimits::TABLE {
            let name = limit.name;
            if !exposure.options.iter().any(|option| option.name == name) {
                continue;
            }
            let value = match limit.unit {
                Unit::Bytes => options.optional_size(name),
                Unit::Count => options.optional_count(name),
                Unit::Time => options.optional_duration(name).map(|time| {
                    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
                }),
            };
            let Ok(Some(value)) = value else {
                continue; // what is wrong was said
            };
            let [least, most] = limit.range;
            if (least..=most).contains(&value) {
                limit.set(&mut limits, value);
            } else {
                let message = format!("expected {}", limit.words());
                self.problems.push(options.problem(name, message));
            }
        }
        limits
    }

    /// Who is let in. Where others than this machine reach it, the file says who may, or that everybody may.
    fn portal(&mut self, section: &ServeSection, exposure: &Exposure) -> Portal {
        let Callers { names, anonymous } = Callers::of(section);
        let sorts = match exposure.access {
            Access::Public => {
                if names.is_some() {
                    let message = format!("`{}` has no logins: it is for everybody", exposure.name);
                    self.problems.push(section.problem("auth", message));
                }
                return Portal::open();
            }
            Access::Logins(sorts) => sorts,
        };
        let mut checkers = self.checkers_of(section, exposure, sorts, names.as_deref());
        let everywhere = section
            .endpoints
            .iter()
            .find(|at| Reach::of(&at.value) > Reach::Machine);
        if let (Some(at), None, None | Some(false)) = (everywhere, &names, anonymous) {
            let message = format!(
                "others than this machine reach it, and nothing says who may call; expected `auth`, `anonymous = true`, or \
                 an endpoint such as `{}:interface=127.0.0.1`",
                at.value
            );
            let problem = section.problem_at("at", at, message);
            self.problems.push(problem);
        }
        self.passwords_are_hidden(section, sorts, names.is_some());
        let everybody = names.is_none();
        if anonymous.unwrap_or(everybody) {
            checkers.push(Rc::new(Anonymous));
        } else if everybody {
            let message = "nobody could call: expected `auth` beside it, or `anonymous = true`";
            self.problems.push(section.problem("anonymous", message));
        }
        Portal::new(checkers)
    }

    /// Passwords and tokens cross no network as they are, unless the file says so.
    fn passwords_are_hidden(&mut self, section: &ServeSection, sorts: &[Sort], logins: bool) {
        let shown = sorts.contains(&Sort::Password) || sorts.contains(&Sort::Token);
        let options = &section.options;
        if !shown || !logins {
            if options.has("plaintext") {
                let message = "no password and no token is shown here";
                self.problems.push(section.problem("plaintext", message));
            }
            return;
        }
        if options.bool("plaintext", false).unwrap_or(true) {
            return; // it is meant, or what is wrong was said
        }
        let mut endpoints = section.endpoints.iter();
        if let Some(at) = endpoints.find(|at| Reach::of(&at.value) == Reach::Open) {
            let message = "passwords and tokens would cross the network as they are; expected `ssl:…`, an endpoint that only \
                           this machine reaches, or `plaintext = true` where something else encrypts";
            let problem = section.problem_at("at", at, message);
            self.problems.push(problem);
        }
    }

    /// The checkers that `auth` names.
    fn checkers_of(
        &mut self,
        section: &ServeSection,
        exposure: &Exposure,
        sorts: &[Sort],
        names: Option<&[Text]>,
    ) -> Vec<Rc<dyn Checker>> {
        let mut checkers: Vec<Rc<dyn Checker>> = Vec::new();
        for name in names.unwrap_or_default() {
            let known = &self.loaded.checkers;
            let Some(found) = known.iter().find(|known| known.name == name.value) else {
                let known: Vec<&str> = known.iter().map(|known| &*known.name).collect();
                let message = unknown("auth", &name.value, &known);
                let problem = section.problem_at("auth", name, message);
                self.problems.push(problem);
                continue;
            };
            let Some(checker) = found.checker.clone() else {
                continue; // whatever is wrong with it has been said
            };
            if !checker.sorts().iter().any(|sort| sorts.contains(sort)) {
                let message = no_login(exposure, &name.value, sorts);
                let problem = section.problem_at("auth", name, message);
                self.problems.push(problem);
            }
            checkers.push(checker);
        }
        checkers
    }

    fn endpoint(&mut self, section: &ServeSection, at: &Text) {
        let checked = self.reactor.check_endpoint(&at.value, Side::Server);
        let checked = checked.and_then(|()| {
            if self.loaded.settings.workers.may_be_many() {
                self.reactor.check_shared(&EndpointSpec::parse(&at.value)?)
            } else {
                Ok(())
            }
        });
        let Err(failure) = checked else { return };
        let message = match failure.check::<BadEndpoint>() {
            Some(bad) => bad.problem.clone(),
            None => failure.to_string(),
        };
        let problem: Problem = section.problem_at("at", at, message);
        self.problems.push(problem);
    }
}

/// Who may call, as a section says it.
pub(super) struct Callers {
    /// `auth`
    pub(super) names: Option<Vec<Text>>,
    /// `anonymous`, if it is said.
    pub(super) anonymous: Option<bool>,
}

impl Callers {
    pub(super) fn of(section: &ServeSection) -> Self {
        let options = &section.options;
        let said = options.has("anonymous");
        let anonymous = said.then(|| options.bool("anonymous", false));
        Self {
            names: options.optional_strings("auth").ok().flatten(),
            anonymous: anonymous.and_then(Result::ok),
        }
    }

    /// Whether another section says the same, wherever it says it.
    pub(super) fn are(&self, other: &Self) -> bool {
        let names = |callers: &Self| -> Option<Vec<String>> {
            let names = callers.names.as_ref()?.iter();
            Some(names.map(|name| name.value.clone()).collect())
        };
        self.anonymous == other.anonymous && names(self) == names(other)
    }
}

fn no_login(exposure: &Exposure, auth: &str, sorts: &[Sort]) -> String {
    if sorts.is_empty() {
        return format!("`{}` has no logins", exposure.name);
    }
    let words = |sort: &Sort| match sort {
        Sort::Anonymous => "nothing",
        Sort::Password => "a password",
        Sort::Token => "a token",
        Sort::Challenge => "the answer to a challenge",
    };
    let words: Vec<&str> = sorts.iter().map(words).collect();
    format!(
        "`{auth}` cannot check what callers show through `{}`: {}",
        exposure.name,
        words.join(" or ")
    )
}

fn dialect((exposure, _): &(&Exposure, &'static Descriptor)) -> Option<Dialect> {
    match exposure.make {
        Make::Http(dialect) => Some(dialect),
        Make::Factory(_) => None,
    }
}
