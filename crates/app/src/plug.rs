//! Kinds that register themselves where they are defined, by one line beside each ([`plug_in!`](crate::plug_in)): whatever
//! program has their crate in it finds them ([`Registry::plugged`]). Knows no kind by name.

use crate::registry::{CheckerKind, Exposure, ProviderKind, Registry, Serves};
use std::{collections::BTreeMap, error::Error, fmt};
use tress_core::Reactor;

/// A kind of endpoint, as a program plugs it in.
#[derive(Clone, Copy, Debug)]
pub struct EndpointPlug {
    /// The name in endpoint strings.
    pub name: &'static str,
    /// Teaches it to a reactor under that name: `|reactor, name| reactor.endpoint_kind(name, Loopback)`.
    pub teach: fn(&Reactor, &str),
}

/// A kind and where it is plugged in; [`plug_in!`](crate::plug_in) makes it.
#[derive(Clone, Copy, Debug)]
pub struct Plug {
    kind: Kind,
    place: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Provider(ProviderKind),
    Checker(CheckerKind),
    Exposure(Exposure),
    Endpoint(EndpointPlug),
}

inventory::collect!(Plug);

/// Plugs a kind in where it is defined: a [`ProviderKind`], an [`Exposure`], a [`CheckerKind`] or an [`EndpointPlug`]. A
/// program whose crates hold such lines, and whose `main` is `tress_cli::main` or uses
/// [`Registry::plugged`], knows the kind; a crate that nothing else in the program names needs a `use its_name as _;`.
///
/// ```
/// use tress_app::{CheckerKind, Registry, plug_in};
/// use tress_rpc::cred::Memory;
///
/// const NOBODY: CheckerKind = CheckerKind {
///     name: "nobody",
///     doc: "Lets nobody in.",
///     options: &[],
///     make: |_, _| Ok(std::rc::Rc::new(Memory::new(Vec::<(String, String)>::new()))),
/// };
/// plug_in!(NOBODY);
///
/// assert!(Registry::plugged().unwrap().checker("nobody").is_some());
/// ```
#[macro_export]
macro_rules! plug_in {
    ($kind:expr) => {
        $crate::plug::inventory::submit! { $kind.plug(concat!(file!(), ":", line!())) }
    };
}

#[doc(hidden)]
pub use inventory;

macro_rules! plugs {
    ($($kind:ty, $variant:ident;)+) => {$(
        impl $kind {
            /// This kind, plugged in at that place of the source; [`plug_in!`](crate::plug_in) calls it.
            #[must_use]
            pub const fn plug(self, place: &'static str) -> Plug {
                Plug { kind: Kind::$variant(self), place }
            }
        }
    )+};
}

plugs! {
    ProviderKind, Provider;
    CheckerKind, Checker;
    Exposure, Exposure;
    EndpointPlug, Endpoint;
}

/// Two kinds have one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTaken {
    what: &'static str,
    name: String,
    /// The place of the one; `None` for one that is built in.
    first: Option<&'static str>,
    second: &'static str,
}

impl fmt::Display for NameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            name,
            first,
            second,
        } = self;
        write!(f, "two {what} are called {name}: one ")?;
        match first {
            Some(first) => write!(f, "plugged in at {first}")?,
            None => f.write_str("that tress brings along")?,
        }
        write!(f, ", one plugged in at {second}; expected a name for each")
    }
}

impl Error for NameTaken {}

impl Registry {
    /// What tress brings along, and all that the crates of this program plug in ([`plug_in!`](crate::plug_in)).
    ///
    /// # Errors
    /// Two kinds have one name, also when one of them is built in. Who wants to replace that calls
    /// [`Registry::register_provider`], or its like.
    pub fn plugged() -> Result<Self, NameTaken> {
        let mut registry = Self::builtin();
        // In no order that the linker promises: what is said of two must not depend on it.
        let mut plugs: Vec<Plug> = inventory::iter::<Plug>.into_iter().copied().collect();
        plugs.sort_by_key(|plug| plug.place);
        registry.plug_in(&plugs)?;
        Ok(registry)
    }

    /// Adds these.
    fn plug_in(&mut self, plugs: &[Plug]) -> Result<(), NameTaken> {
        let mut places: BTreeMap<(&str, String), &'static str> = BTreeMap::new();
        for Plug { kind, place } in plugs {
            let (what, name, is_known) = self.of(kind);
            let first = places.insert((what, name.clone()), place);
            if first.is_some() || is_known {
                return Err(NameTaken {
                    what,
                    name,
                    first,
                    second: place,
                });
            }
            match *kind {
                Kind::Provider(kind) => drop(self.register_provider(kind)),
                Kind::Checker(kind) => drop(self.register_checker(kind)),
                Kind::Exposure(exposure) => drop(self.register_exposure(exposure)),
                Kind::Endpoint(kind) => {
                    self.teach_endpoint(kind.name, move |reactor| (kind.teach)(reactor, kind.name));
                }
            }
        }
        Ok(())
    }

    /// What a kind is one of, its name, and whether there is one of that name.
    fn of(&self, kind: &Kind) -> (&'static str, String, bool) {
        match kind {
            Kind::Provider(kind) => {
                let known = self.provider(kind.name).is_some();
                ("kinds of provider", format!("`{}`", kind.name), known)
            }
            Kind::Checker(kind) => {
                let known = self.checker(kind.name).is_some();
                ("kinds of checker", format!("`{}`", kind.name), known)
            }
            Kind::Exposure(exposure) => {
                let of = match exposure.serves {
                    Serves::Interface(interface) => format!("`{}`", interface.name),
                    Serves::Any(_) => "every interface".to_owned(),
                };
                let known = self.has_exposure(exposure);
                ("protocols", format!("`{}` of {of}", exposure.name), known)
            }
            Kind::Endpoint(kind) => {
                let known = self.has_endpoint(kind.name);
                ("kinds of endpoint", format!("`{}`", kind.name), known)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use tress_core::testing::memory::Table;

    const NEW: ProviderKind = ProviderKind {
        name: "new",
        ..builtin::PROVIDERS[0]
    };
    const END: EndpointPlug = EndpointPlug {
        name: "loop",
        teach: |_, name| assert_eq!(name, "loop"),
    };

    #[track_caller]
    fn check(plugs: &[Plug], expected: &str) {
        let error = Registry::builtin().plug_in(plugs).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn kinds_are_added_and_none_takes_the_name_of_another() {
        let mut registry = Registry::builtin();
        let same = NEW.plug("a.rs:1");
        registry.plug_in(&[same, END.plug("a.rs:2")]).unwrap();
        assert!(registry.provider("new").is_some());
        registry.install_endpoints(Table::new().reactor());
        check(
            &[same, NEW.plug("b.rs:7")],
            "two kinds of provider are called `new`: one plugged in at a.rs:1, one plugged in at b.rs:7; expected a name for each",
        );
        check(
            &[builtin::CHECKERS[0].plug("b.rs:7")],
            "two kinds of checker are called `file`: one that tress brings along, one plugged in at b.rs:7; expected a name for each",
        );
        let finger = builtin::EXPOSURES.iter().find(|e| e.name == "finger");
        check(
            &[finger.unwrap().plug("b.rs:7")],
            "two protocols are called `finger` of `Finger`: one that tress brings along, one plugged in at b.rs:7; expected a name for each",
        );
        check(
            &[END.plug("a.rs:1"), END.plug("b.rs:7")],
            "two kinds of endpoint are called `loop`: one plugged in at a.rs:1, one plugged in at b.rs:7; expected a name for each",
        );
    }

    #[test]
    fn an_adapter_for_another_interface_has_the_name_of_its_protocol() {
        let own = Exposure {
            name: "finger",
            serves: Serves::Interface(NEW.interfaces[0]),
            ..builtin::EXPOSURES[0]
        };
        Registry::builtin().plug_in(&[own.plug("a.rs:1")]).unwrap();
    }
}
