//! Which protocol an object is served through: adapters that were made for its interface, those for every interface, pairs
//! that cannot work, and several protocols and objects at one endpoint.

use super::{super::*, FINGER, Quiet, USERS, check};
use crate::{Access, Exposure, Make, Serves};
use tress_core::{SharedFactory, testing::memory::Table};
use tress_protocols::finger::{DynFinger, DynFingerSetter};
use tress_rpc::Descriptor;

/// `name` for one interface, made by hand.
fn by_hand(name: &'static str, interface: &'static Descriptor) -> Exposure {
    Exposure {
        name,
        serves: Serves::Interface(interface),
        access: Access::Public,
        doc: "By hand.",
        options: &[],
        make: Make::Factory(|_| Ok(SharedFactory::new(|| Quiet))),
    }
}

#[test]
fn what_was_made_for_an_interface_wins_over_what_is_for_every_one() {
    let mut registry = Registry::builtin();
    let kind = *registry.provider("finger.memory").unwrap();
    let found = |registry: &Registry, wanted| {
        let (exposure, interface) = registry.exposure(&kind, "lines", wanted).unwrap();
        (exposure.doc == "By hand.", interface.name)
    };
    assert_eq!(found(&registry, None), (false, "Finger"));
    registry.register_exposure(by_hand("lines", <dyn DynFingerSetter>::DESCRIPTOR));
    // Also when it is for another than the first of the object's interfaces, unless that one is asked for.
    assert_eq!(found(&registry, None), (true, "FingerSetter"));
    assert_eq!(found(&registry, Some("Finger")), (false, "Finger"));
    registry.register_exposure(by_hand("lines", <dyn DynFinger>::DESCRIPTOR));
    assert_eq!(found(&registry, None), (true, "Finger"));
}

#[test]
fn a_pair_that_cannot_work_is_refused_with_the_reason() {
    let (table, mut registry) = (Table::new(), Registry::builtin());
    registry.register_exposure(Exposure {
        serves: Serves::Any(|interface| Err(format!("`{}` cannot be sung", interface.name))),
        ..by_hand("song", <dyn DynFinger>::DESCRIPTOR)
    });
    let text = format!("{USERS}{FINGER}").replace("'finger'", "'song'");
    let problems = Application::parse("f.toml", text.as_bytes(), &registry, table.reactor());
    let found = problems.unwrap_err().to_string();
    let expected = "f.toml:6: serve.as: `users` is a `finger.memory`, which cannot be served as `song`: `Finger` cannot be \
                    sung; expected one of `amp`, `finger`,";
    assert!(found.starts_with(expected), "{found}");
}

/// Two objects of one interface at one endpoint, each with a line more.
fn two(one: &str, other: &str) -> String {
    let serve = |what: &str, more: &str| {
        format!(
            "[[serve]]\nwhat='{what}'\nas=['http', 'xmlrpc', 'jsonrpc']\nat=['tcp:80:interface=127.0.0.1', 'unix:x']\n{more}\n"
        )
    };
    let more = "[provide.others]\nkind='finger.memory'\n";
    format!(
        "{USERS}{more}{}{}",
        serve("users", one),
        serve("others", other)
    )
}

#[test]
fn equal_names_at_one_endpoint_need_prefixes_or_paths() {
    for (one, other) in [
        ("prefix='a'", "prefix='b'"),
        ("", "prefix='b'"),
        ("path='/a'", "path='/b'"),
    ] {
        check(&two(one, other), "");
    }
    let same = "`Finger` and `Finger` both have a method `getUser` at `/Finger`: give one of them a prefix or another path";
    let expected = format!("f.toml:13: serve.as: {same}\nf.toml:13: serve.as: {same}");
    check(&two("", ""), &expected);
}
