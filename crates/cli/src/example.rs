//! A file for each kind that `tress check` has nothing against, made from what the kind says of itself: what must be said is
//! there, what may be is a comment. Writes nowhere.

use tress_app::{
    Access, CheckerKind, Exposure, ProviderKind, Registry, Serves,
    config::{OptionSpec, SERVE_OPTIONS, ValueKind},
    control::DynApplication,
};
use tress_core::{Reactor, endpoint::Side};

/// Where examples listen: only this machine reaches them.
const AT: &str = "tcp:8007:interface=127.0.0.1";
/// Where one does that could stop the application: only its owner opens it.
const CONTROL_AT: &str = "unix:/run/example.control:mode=600";

/// An object of this kind, served.
pub(crate) fn provider(kind: &ProviderKind, registry: &Registry) -> Option<String> {
    let protocols = registry.protocols_of(kind);
    let usual = ["http", "lines"]
        .into_iter()
        .find(|p| protocols.contains(p));
    let protocol = usual.or_else(|| protocols.first().copied())?;
    let at = if is_control(kind) { CONTROL_AT } else { AT };
    Some(provided(kind) + &served(protocol, at, &[]))
}

/// Whether its object is the application itself.
fn is_control(kind: &ProviderKind) -> bool {
    let mut interfaces = kind.interfaces.iter();
    interfaces.any(|interface| interface.name == <dyn DynApplication>::DESCRIPTOR.name)
}

/// Those that an example of something else can serve.
fn others(registry: &Registry) -> impl Iterator<Item = &ProviderKind> {
    registry.providers().filter(|kind| !is_control(kind))
}

/// Whether a section of it needs no option.
fn is_plain(kind: &ProviderKind) -> bool {
    !kind.options.iter().any(|option| option.required)
}

/// An object that this protocol can be made of, served through it.
pub(crate) fn exposure(exposure: &Exposure, registry: &Registry) -> Option<String> {
    let kind = others(registry).find(|kind| {
        let wanted = match exposure.serves {
            Serves::Interface(interface) => Some(interface.name),
            Serves::Any(_) => None,
        };
        let made = registry.exposure(kind, exposure.name, wanted);
        made.is_ok_and(|(made, _)| wanted.is_none_or(|wanted| is_for(made, wanted)))
    })?;
    let own: Vec<&OptionSpec> = exposure.options.iter().collect();
    Some(provided(kind) + &served(exposure.name, AT, &own))
}

fn is_for(exposure: &Exposure, wanted: &str) -> bool {
    matches!(exposure.serves, Serves::Interface(interface) if interface.name == wanted)
}

/// An object that asks a checker of this kind who calls.
pub(crate) fn checker(kind: &CheckerKind, registry: &Registry) -> Option<String> {
    let asks = |exposure: &&Exposure| matches!(exposure.access, Access::Logins(_));
    let protocol = registry.exposures().find(asks)?;
    let provider = others(registry).find(|provider| {
        let made = registry.exposure(provider, protocol.name, None);
        made.is_ok() && is_plain(provider)
    })?;
    let auth: Vec<&OptionSpec> = SERVE_OPTIONS
        .iter()
        .filter(|option| option.name == "auth")
        .collect();
    let mut text = format!("[auth.known]\nkind = \"{}\"\n", kind.name);
    text.push_str(&options(kind.options));
    text.push('\n');
    text.push_str(&provided(provider));
    let serve = served(protocol.name, AT, &auth);
    Some(text + &serve.replace("# auth = \"...\"", "auth = \"known\""))
}

/// Something that listens at an endpoint of this kind, if how it is written says how.
pub(crate) fn endpoint(name: &str, registry: &Registry, reactor: &Reactor) -> Option<String> {
    let kinds = reactor.endpoint_kinds(Side::Server);
    let (_, usage) = kinds.into_iter().find(|(known, _)| known == name)?;
    let at = written(usage)?;
    // Who listens where others may come says who may call, or is for everybody.
    let is_public = |kind: &ProviderKind, protocol: &&str| {
        let made = registry.exposure(kind, protocol, None);
        made.is_ok_and(|(made, _)| matches!(made.access, Access::Public))
    };
    let (kind, protocol) = others(registry)
        .filter(|kind| is_plain(kind))
        .find_map(|kind| {
            let mut protocols = registry.protocols_of(kind).into_iter();
            protocols
                .find(|name| is_public(kind, name))
                .map(|name| (kind, name))
        })?;
    Some(provided(kind) + &served(protocol, &at, &[]))
}

/// `tcp:8007` for `tcp:PORT[:interface=ADDRESS]`: without what may be left out, and with something for each word in capitals.
fn written(usage: &str) -> Option<String> {
    const WORDS: &[(&str, &str)] = &[
        ("certKey=FILE", "certKey=cert.pem"),
        ("privateKey=FILE", "privateKey=key.pem"),
        ("domain=INET|INET6|UNIX", "domain=INET"),
        ("index=NUMBER|name=NAME", "index=0"),
        ("ENDPOINT", AT),
        ("DIRECTORY", "certificates"),
        ("ADDRESS", "127.0.0.1"),
        ("PORT", "8007"),
        ("PATH", "/run/example.socket"),
    ];
    let mut depth = 0_usize;
    let plain: String = usage
        .chars()
        .filter(|c| {
            depth += usize::from(*c == '[');
            let is_needed = depth == 0;
            depth -= usize::from(*c == ']');
            is_needed
        })
        .collect();
    let mut text = plain;
    for (word, meant) in WORDS {
        text = text.replace(word, meant);
    }
    let value = |part: &str| part.rsplit('=').next().unwrap_or(part).to_owned();
    let is_left = |part: &str| {
        part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase()) && part != "INET"
    };
    let left = text.split(':').map(value).any(|part| is_left(&part));
    (!left).then_some(text)
}

/// `[provide.example]`
fn provided(kind: &ProviderKind) -> String {
    let options = options(kind.options);
    format!("[provide.example]\nkind = \"{}\"\n{options}\n", kind.name)
}

/// `[[serve]]`
fn served(protocol: &str, at: &str, specs: &[&OptionSpec]) -> String {
    let mut text = format!("[[serve]]\nwhat = \"example\"\nas = \"{protocol}\"\nat = \"{at}\"\n");
    specs.iter().for_each(|spec| text.push_str(&option(spec)));
    text
}

fn options(specs: &[OptionSpec]) -> String {
    specs.iter().map(option).collect()
}

/// What must be said is said; what may be left out is a comment that says what it is then.
fn option(spec: &OptionSpec) -> String {
    let comment = if spec.required { "" } else { "# " };
    format!("{comment}{} = {}\n", spec.name, value(spec))
}

fn value(spec: &OptionSpec) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let or = |other: &str| match spec.default {
        "" => other.to_owned(),
        default => default.to_owned(),
    };
    match spec.value {
        ValueKind::Integer | ValueKind::Count => or("1"),
        ValueKind::Bool => or("true"),
        ValueKind::Choice(names) => quoted(&or(names.first().unwrap_or(&"text"))),
        ValueKind::Duration => quoted(&or("30s")),
        ValueKind::Size => quoted(&or("64KiB")),
        ValueKind::Workers => quoted(&or("auto")),
        ValueKind::Path => quoted(&or("example.txt")),
        ValueKind::TableOfStrings => "{ name = \"text\" }".to_owned(),
        ValueKind::Secrets => "{ alice = { file = \"alice.secret\" } }".to_owned(),
        // What a text may be only its doc says.
        _ if !spec.required => quoted(&or("...")),
        _ => quoted(&or("text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_without_what_may_be_left_out() {
        for (usage, expected) in [
            ("tcp:PORT[:interface=ADDRESS][:reuse=0|1]", Some("tcp:8007")),
            (
                "ssl:PORT:certKey=FILE:privateKey=FILE[:x=FILE-OR-DIRECTORY]",
                Some("ssl:8007:certKey=cert.pem:privateKey=key.pem"),
            ),
            (
                "systemd:domain=INET|INET6|UNIX:index=NUMBER|name=NAME",
                Some("systemd:domain=INET:index=0"),
            ),
            ("stdio:", Some("stdio:")),
            ("own:THING", None),
        ] {
            assert_eq!(written(usage).as_deref(), expected, "{usage}");
        }
    }

    #[test]
    fn what_must_be_said_is_said_and_what_may_be_is_a_comment() {
        let spec = |required, value, default| OptionSpec {
            name: "a",
            value,
            required,
            default,
            doc: "",
        };
        for (spec, expected) in [
            (spec(true, ValueKind::String, ""), "a = \"text\"\n"),
            (spec(false, ValueKind::Duration, "5s"), "# a = \"5s\"\n"),
            (spec(false, ValueKind::Count, ""), "# a = 1\n"),
            (
                spec(true, ValueKind::Choice(&["x", "y"]), ""),
                "a = \"x\"\n",
            ),
            (
                spec(false, ValueKind::String, "a \"b\""),
                "# a = \"a \\\"b\\\"\"\n",
            ),
        ] {
            assert_eq!(option(&spec), expected);
        }
    }
}
