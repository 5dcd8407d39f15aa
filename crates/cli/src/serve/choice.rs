//! Which kind of provider is meant, and which protocols. Makes nothing.

use super::options::{Grammar, Section, Words};
use tress_app::{
    Exposure, ProviderKind, Registry, Serves,
    control::{DynApplication, DynMetrics},
};
use tress_core::wording::{one_of, quoted, unknown};

/// What the first word of `tress serve` names, and all that it can mean.
#[derive(Debug)]
pub(super) struct Choice<'r> {
    /// The protocol, if it names one.
    pub(super) protocol: Option<&'r str>,
    /// The kinds of provider that can be meant; at least one.
    pub(super) kinds: Vec<&'r ProviderKind>,
}

impl<'r> Choice<'r> {
    /// A protocol and whatever can be served as it, or a kind of provider.
    pub(super) fn named(name: &str, registry: &'r Registry) -> Result<Self, String> {
        let protocols = registry.protocols();
        let providers = || registry.providers().filter(|kind| stands_alone(kind));
        if let Some(protocol) = protocols.iter().copied().find(|known| *known == name) {
            let can = |kind: &&ProviderKind| registry.exposure(kind, protocol, None).is_ok();
            let kinds: Vec<_> = providers().filter(can).collect();
            if kinds.is_empty() {
                return Err(format!(
                    "no kind of provider can be served as {}",
                    quoted(name)
                ));
            }
            return Ok(Self {
                protocol: Some(protocol),
                kinds,
            });
        }
        let kinds: Vec<_> = providers().filter(|kind| kind.name == name).collect();
        if kinds.is_empty() {
            let names = providers().map(|kind| kind.name);
            let known: Vec<&str> = protocols.into_iter().chain(names).collect();
            return Err(unknown("protocol or kind of provider", name, &known));
        }
        Ok(Self {
            protocol: None,
            kinds,
        })
    }

    /// All exposures that can be asked for.
    pub(super) fn exposures(&self, registry: &'r Registry) -> Vec<&'r Exposure> {
        let all = registry.exposures();
        all.filter(|exposure| {
            let possible = |kind: &&ProviderKind| {
                let found = registry.exposure(kind, exposure.name, None);
                found.is_ok_and(|(found, _)| same(found, exposure))
            };
            self.kinds.iter().any(possible)
        })
        .collect()
    }

    /// The one kind that takes these options, and has all that it must have.
    pub(super) fn kind(
        &self,
        words: &Words,
        wanted: Option<&str>,
        grammar: &Grammar,
    ) -> Result<&'r ProviderKind, String> {
        if let Some(wanted) = wanted {
            let found = self.kinds.iter().find(|kind| kind.name == wanted);
            let known: Vec<&str> = self.kinds.iter().map(|kind| kind.name).collect();
            return found
                .copied()
                .ok_or_else(|| format!("--kind: {}", unknown("kind", wanted, &known)));
        }
        let given = words.names(Section::Provide);
        let takes = |kind: &&&ProviderKind| {
            let has = |name: &&str| kind.options.iter().any(|option| option.name == *name);
            given.iter().all(has)
        };
        let able: Vec<&ProviderKind> = self.kinds.iter().filter(takes).copied().collect();
        let complete = |kind: &&&ProviderKind| {
            let mut needed = kind.options.iter().filter(|option| option.required);
            needed.all(|option| given.contains(&option.name))
        };
        let ready: Vec<&ProviderKind> = able.iter().filter(complete).copied().collect();
        match (&ready[..], &able[..]) {
            ([only], _) | ([], [only]) => Ok(only),
            ([], []) => Err(self.no_kind(&given, grammar)),
            ([], several) | (several, _) => {
                let names: Vec<&str> = several.iter().map(|kind| kind.name).collect();
                Err(format!(
                    "which kind of provider? Say `--kind` with {}, or give an option that only one of them has",
                    one_of(&names)
                ))
            }
        }
    }

    /// Each option is known, but not to one kind.
    fn no_kind(&self, given: &[&str], grammar: &Grammar) -> String {
        let of = |name: &&str| {
            let has = |kind: &&&ProviderKind| kind.options.iter().any(|o| o.name == *name);
            let kinds: Vec<&str> = self.kinds.iter().filter(has).map(|k| k.name).collect();
            format!("{} of {}", quoted(&grammar.flag_of(name)), one_of(&kinds))
        };
        let all: Vec<String> = given.iter().map(of).collect();
        format!(
            "no kind of provider has all of these options: {}",
            all.join(", ")
        )
    }

    /// The protocols: what was named and what `--as` adds, or else the one that was made for the kind's first interface.
    pub(super) fn protocols(
        &self,
        kind: &ProviderKind,
        more: &[String],
        registry: &Registry,
    ) -> Result<Vec<String>, String> {
        let mut protocols: Vec<String> = self.protocol.map(str::to_owned).into_iter().collect();
        protocols.extend(more.iter().cloned());
        if protocols.is_empty() {
            let first = kind.interfaces.first().map(|interface| interface.name);
            let made = registry.exposures().find(|exposure| {
                matches!(exposure.serves, Serves::Interface(served) if Some(served.name) == first)
            });
            protocols.extend(made.map(|exposure| exposure.name.to_owned()));
        }
        if protocols.is_empty() {
            let known = one_of(&registry.protocols_of(kind));
            return Err(format!("missing option `--as`; expected {known}"));
        }
        Ok(protocols)
    }
}

/// An application that serves nothing but itself is none.
fn stands_alone(kind: &ProviderKind) -> bool {
    let itself = [
        <dyn DynApplication>::DESCRIPTOR.name,
        <dyn DynMetrics>::DESCRIPTOR.name,
    ];
    kind.interfaces
        .iter()
        .any(|interface| !itself.contains(&interface.name))
}

fn same(one: &Exposure, other: &Exposure) -> bool {
    let interface = |exposure: &Exposure| match exposure.serves {
        Serves::Interface(interface) => interface.name,
        Serves::Any(_) => "",
    };
    one.name == other.name && interface(one) == interface(other)
}
