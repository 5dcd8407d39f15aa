//! The layers: which crate may depend on which, and which crates may reach the operating system.
//! Must not know files: it sees the manifests as `cargo metadata` tells them. The tables mirror ARCHITECTURE.md.

use crate::cargo::Package;

/// Every workspace member and the members it may depend on. Dependencies of tests are free.
const LAYERS: &[(&str, &[&str])] = &[
    ("tress-core", &[]),
    ("tress-os", &["tress-core"]),
    ("tress-sim", &["tress-core"]),
    ("tress-streams", &["tress-core"]),
    ("tress-tls", &["tress-core"]),
    // A foreign loop turns any reactor: what is below it does not matter.
    ("tress-tokio", &["tress-core"]),
    // What C is given is ready to use: a reactor on the system's driver.
    ("tress-c", &["tress-core", "tress-os"]),
    // A proc macro: it runs in the compiler and is in no program.
    ("tress-macros", &[]),
    // Its HTTP stands on hyper, which wants streams.
    (
        "tress-rpc",
        &["tress-core", "tress-streams", "tress-macros"],
    ),
    ("tress-protocols", &["tress-core", "tress-rpc"]),
    // It works on the threads of whatever reactor it is given.
    ("tress-data", &["tress-core"]),
    (
        "tress-app",
        &["tress-core", "tress-rpc", "tress-protocols", "tress-data"],
    ),
    (
        "tress",
        &[
            "tress-core",
            "tress-os",
            "tress-sim",
            "tress-streams",
            "tress-tls",
            "tress-tokio",
            "tress-data",
            "tress-protocols",
            "tress-rpc",
            "tress-app",
        ],
    ),
    (
        "tress-cli",
        &["tress-core", "tress-os", "tress-rpc", "tress-app", "tress"],
    ),
    // The workload brings a whole application and TLS into the simulator, which knows neither.
    (
        "tress-sim-workload",
        &["tress-core", "tress-sim", "tress-tls", "tress-app"],
    ),
    ("tress-testee", &["tress"]),
    ("tress-bench", &["tress", "tress-testee"]),
    ("tress-examples", &["tress"]),
    ("tress-quotes", &["tress", "tress-cli"]),
    ("xtask", &[]),
];

/// Outside crates that only some members may use, and whether the fence holds for tests too.
const FENCED: &[(&str, &[&str], bool)] = &[
    ("mio", &["tress-os", "tress-bench"], false),
    ("io-uring", &["tress-os"], false),
    ("rustix", &["tress-os", "tress-bench"], false),
    ("socket2", &["tress-os", "tress-bench"], false),
    ("libc", &["tress-os", "tress-bench"], false),
    ("signal-hook", &["tress-os"], false),
    ("tokio", &["tress-tokio", "tress", "tress-bench"], true),
    ("tokio-rustls", &["tress-bench"], true),
    ("rusqlite", &["tress-data"], false),
];

/// Every dependency between members is in the table, and so is every member.
pub(super) fn edges(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for Package {
        name,
        manifest,
        dependencies,
        ..
    } in packages
    {
        let Some((_, allowed)) = LAYERS.iter().find(|(member, _)| member == name) else {
            problems.push(format!(
                "{manifest}:1: {name} has no layer: add it to ARCHITECTURE.md and to LAYERS"
            ));
            continue;
        };
        for dependency in dependencies.iter().filter(|d| d.internal && !d.dev) {
            if !allowed.contains(&dependency.name.as_str()) {
                problems.push(format!(
                    "{manifest}:1: {name} must not depend on {}",
                    dependency.name
                ));
            }
        }
    }
    problems
}

/// What talks to the operating system is used where the table says only.
pub(super) fn fenced(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for Package {
        name,
        manifest,
        dependencies,
        ..
    } in packages
    {
        for (fenced, homes, in_tests) in FENCED {
            let used = dependencies
                .iter()
                .any(|d| d.name == *fenced && (*in_tests || !d.dev));
            if used && !homes.contains(&name.as_str()) {
                problems.push(format!(
                    "{manifest}:1: {name} must not use {fenced}: only {} may",
                    homes.join(", ")
                ));
            }
        }
    }
    problems
}

/// Every member is named in ARCHITECTURE.md, whose text this is.
pub(super) fn named_in(architecture: &str, packages: &[Package]) -> Vec<String> {
    let is_named = |name: &str| {
        architecture
            .split(|c: char| !c.is_alphanumeric() && c != '-')
            .any(|word| word == name)
    };
    let unnamed = packages.iter().filter(|package| !is_named(&package.name));
    unnamed
        .map(|package| format!("ARCHITECTURE.md:1: does not name {}", package.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::Dependency;

    /// `name` with these dependencies: `dep` of the workspace, `+dep` from outside, `~` before either only for tests.
    fn package(name: &str, dependencies: &[&str]) -> Package {
        let dependency = |written: &&str| {
            let plain = written.trim_start_matches('~');
            let name = plain.trim_start_matches('+');
            Dependency {
                name: name.into(),
                internal: plain == name,
                dev: plain != *written,
            }
        };
        Package {
            name: name.into(),
            manifest: "Cargo.toml".into(),
            roots: vec![],
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    #[track_caller]
    fn check(rule: fn(&[Package]) -> Vec<String>, package: Package, expect: &[&str]) {
        assert_eq!(rule(&[package]), expect);
    }

    #[test]
    fn edges_point_down() {
        check(
            edges,
            package("tress-os", &["tress-core", "~tress-sim", "+mio"]),
            &[],
        );
        check(edges, package("tress-core", &["~tress-sim"]), &[]);
        check(
            edges,
            package("tress-core", &["tress-os"]),
            &["Cargo.toml:1: tress-core must not depend on tress-os"],
        );
        check(
            edges,
            package("tress-new", &["tress-core"]),
            &["Cargo.toml:1: tress-new has no layer: add it to ARCHITECTURE.md and to LAYERS"],
        );
    }

    #[test]
    fn the_table_is_ordered() {
        let place = |name: &str| LAYERS.iter().position(|(member, _)| *member == name);
        for (member, allowed) in LAYERS {
            for below in *allowed {
                assert!(
                    place(below).is_some() && place(below) < place(member),
                    "{member} above {below}"
                );
            }
        }
    }

    #[test]
    fn the_operating_system_has_one_door() {
        check(fenced, package("tress-os", &["+mio", "+rustix"]), &[]);
        check(fenced, package("tress-bench", &["+libc", "+tokio"]), &[]);
        check(fenced, package("tress-core", &["~+libc"]), &[]);
        check(
            fenced,
            package("tress-core", &["+mio"]),
            &["Cargo.toml:1: tress-core must not use mio: only tress-os, tress-bench may"],
        );
        check(
            fenced,
            package("tress-os", &["~+tokio"]),
            &[
                "Cargo.toml:1: tress-os must not use tokio: only tress-tokio, tress, tress-bench may",
            ],
        );
    }

    #[test]
    fn every_member_is_named() {
        let packages = [package("tress", &[]), package("tress-os", &[])];
        assert_eq!(named_in("`tress` wires tress-os.", &packages), [""; 0]);
        assert_eq!(
            named_in("tress-os.", &packages),
            ["ARCHITECTURE.md:1: does not name tress"]
        );
        assert_eq!(named_in("", &packages).len(), 2);
    }
}
