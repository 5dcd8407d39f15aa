//! Which interface is called: one that the program knows, or one made up from the call itself. Calls nothing.

use tress_app::{Registry, Serves};
use tress_core::wording::{one_of, quoted, unknown};
use tress_rpc::{Argument, Arguments, Descriptor, Method, Type, Value};

/// An interface, and the method of it.
pub(super) type Known = (&'static Descriptor, &'static Method);

/// The interface of this name, or the only one that has such a method; none when no interface has.
///
/// # Errors
/// There is none of that name, it has no such method, or several have one.
pub(super) fn of(
    registry: &Registry,
    name: Option<&str>,
    method: &str,
) -> Result<Option<Known>, String> {
    let all = all(registry);
    let names = |of: &[&'static Descriptor]| of.iter().map(|it| it.name).collect::<Vec<_>>();
    if let Some(name) = name {
        let Some(descriptor) = all.iter().find(|descriptor| descriptor.name == name) else {
            return Err(unknown("interface", name, &names(&all)));
        };
        let Some((_, found)) = descriptor.method(method) else {
            let methods: Vec<&str> = descriptor.methods.iter().map(|it| it.name).collect();
            let message = unknown("method", method, &methods);
            return Err(format!("{}: {message}", descriptor.name));
        };
        return Ok(Some((descriptor, found)));
    }
    let having: Vec<&'static Descriptor> = all
        .into_iter()
        .filter(|descriptor| descriptor.method(method).is_some())
        .collect();
    match &having[..] {
        [] => Ok(None),
        [only] => Ok(only.method(method).map(|(_, method)| (*only, method))),
        several => Err(format!(
            "several interfaces have a method {}: say which with --interface and {}, or that it is none of them with \
             --untyped",
            quoted(method),
            one_of(&names(several))
        )),
    }
}

/// All that the program knows, each once.
fn all(registry: &Registry) -> Vec<&'static Descriptor> {
    let provided = registry.providers().flat_map(|kind| kind.interfaces);
    let served = registry
        .exposures()
        .filter_map(|exposure| match exposure.serves {
            Serves::Interface(interface) => Some(interface),
            Serves::Any(_) => None,
        });
    let mut all: Vec<&'static Descriptor> = Vec::new();
    for descriptor in provided.copied().chain(served) {
        if all.iter().all(|known| known.name != descriptor.name) {
            all.push(descriptor);
        }
    }
    all
}

/// One with this method, which takes anything that it is called with. It stays for as long as the program runs, which makes
/// one call.
pub(super) fn made_up(method: &str, words: &Arguments) -> &'static Descriptor {
    let kept = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let places = (1..=words.positional.len()).map(|place| place.to_string());
    let names = words.named.iter().map(|(name, _)| name.clone());
    let arguments: Vec<Argument> = places
        .chain(names)
        .map(|name| Argument {
            name: kept(&name),
            ty: Type::of::<Value>(),
            limit: None,
        })
        .collect();
    let method = Method {
        name: kept(method),
        doc: "",
        arguments: Box::leak(arguments.into_boxed_slice()),
        result: Type::of::<Value>(),
    };
    Box::leak(Box::new(Descriptor {
        name: "the object",
        doc: "",
        methods: Box::leak(Box::new([method])),
    }))
}
