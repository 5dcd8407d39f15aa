//! Wrong files as a table; starting, stopping and failing half-way on a network in memory.

mod auth;
mod control;
mod model;
mod operated;
mod pairs;
mod served;
mod tasks;
mod upgrade;

use super::{load::Loader, *};
use crate::config::Config;
use crate::testing::{Directory, logged};
use crate::{Exposure, Make, Provider, ProviderKind};
use std::{cell::RefCell, time::Duration};
use tress_core::{Address, Factory, Protocol, SharedFactory, testing::memory::Table};

const USERS: &str = "[provide.users]\nkind = 'finger.memory'\nusers = {moshez = 'Happy'}\n";
const FINGER: &str = "[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:79'\n";

fn load(table: &Table, text: &str) -> Result<Application, Problems> {
    let registry = Registry::builtin();
    Application::parse("f.toml", text.as_bytes(), &registry, table.reactor())
}

/// The report on `text`; empty when nothing is wrong.
#[track_caller]
fn check(text: &str, report: &str) {
    let table = Table::new();
    let found = load(&table, text)
        .err()
        .map(|problems| problems.to_string());
    assert_eq!(found.unwrap_or_default(), report, "in\n{text}");
}

#[test]
fn wrong_providers() {
    check(&format!("{USERS}{FINGER}"), "");
    check(
        &format!("[provide.users]\nkind = 'finger.fiel'\n{FINGER}"),
        "f.toml:2: provide.users.kind: unknown kind `finger.fiel`; \
         expected one of `application`, `finger.file`, `finger.memory`, `finger.sqlite`, `metrics`; did you mean `finger.file`?",
    );
    check(
        &format!("[provide.users]\nkind = 'finger.file'\npaht = 'users'\n{FINGER}"),
        "f.toml:3: provide.users.paht: unknown key `paht`; \
         expected one of `kind`, `path`, `reload`; did you mean `path`?",
    );
    check(
        &format!("[provide.users]\nkind = 'finger.file'\n{FINGER}"),
        "f.toml:1: provide.users: missing key `path`; expected a path",
    );
    check(
        &format!("[provide.users]\nkind = 'finger.file'\npath = 'u'\nreload = '0s'\n{FINGER}"),
        "f.toml:4: provide.users.reload: expected more than nothing",
    );
    check(
        &format!("[provide.users]\nkind = 'finger.memory'\nusers = {{a = 1}}\n{FINGER}"),
        "f.toml:3: provide.users.users.a: expected a string, found an integer",
    );
}

#[test]
fn wrong_services() {
    let check = |body: &str, report: &str| check(&format!("{USERS}[[serve]]\n{body}"), report);
    check(
        "what = 'users'\nas = 'figner'\nat = 'tcp:79'",
        "f.toml:6: serve.as: unknown protocol `figner`; \
         expected one of `amp`, `finger`, `finger-setter`, `http`, `jsonrpc`, `jsonrpc-lines`, `lines`, `metrics`, `pb`, `xmlrpc`; did you mean `finger`?",
    );
    check(
        "what = 'users'\nas = ['finger',\n'finger-setter']\nat = 'tcp:79'",
        "f.toml:7: serve.as: `finger` needs an endpoint of its own; write a [[serve]] section for it",
    );
    check(
        "what = 'users'\nas = 'finger'\nforwading = true\nat = 'tcp:79'",
        "f.toml:7: serve.forwading: unknown key `forwading`; expected one of \
         `what`, `as`, `at`, `name`, `interface`, `auth`, `anonymous`, `plaintext`, `forwarding`, `forwarding_port`; did you mean \
         `forwarding`?",
    );
    check(
        "what = 'users'\nas = 'finger'\nforwarding_port = 65536\nat = 'tcp:79'",
        "f.toml:7: serve.forwarding_port: expected a port number, from 1 to 65535",
    );
    check(
        "what = 'users'\nas = 'finger-setter'\nforwarding = true\nat = 'unix:x'",
        "f.toml:7: serve.forwarding: unknown key `forwarding`; expected one of `what`, `as`, `at`, `name`, `interface`, `auth`, `anonymous`, `plaintext`",
    );
}

#[test]
fn wrong_endpoints() {
    for (at, message) in [
        (
            "tpc:79",
            "unknown kind of endpoint `tpc`; expected one of `haproxy`, `tcp`, `tcp6`, `unix`; did you mean `tcp`?",
        ),
        ("tcp:finger", "port `finger` is no number from 0 to 65535"),
        ("tcp:65536", "port `65536` is no number from 0 to 65535"),
        ("tcp", "expected a port number"),
        (
            "tcp:79:80",
            "`80` is one part too many; expected `tcp:PORT[:interface=ADDRESS][:backlog=COUNT][:reuse=0|1]`",
        ),
        (
            "tcp:79:x=y",
            "unknown option `x`; expected one of `port`, `interface`, `backlog`, `reuse`",
        ),
        (
            "tcp:79:interfcae=127.0.0.1",
            "unknown option `interfcae`; expected one of `port`, `interface`, `backlog`, `reuse`; did you mean `interface`?",
        ),
        (
            "tcp:79:interface=here",
            "`here` is no IP address; names are looked up only to connect to them: write an address of this machine",
        ),
        (
            "haproxy:tcp:79:trusted=here",
            "`here` is no address and no network, as `10.0.0.0/8` is",
        ),
        (
            "unix:/run/x:mode=999",
            "mode `999` is no octal number from 0 to 777, as `660` is",
        ),
    ] {
        let table = Table::new();
        let text = format!("{USERS}[[serve]]\nwhat='users'\nas='finger'\nat=['tcp:1',\n'{at}']\n");
        let problems = load(&table, &text).unwrap_err();
        let [problem] = problems.list() else {
            panic!("{problems}")
        };
        assert_eq!((problem.line, problem.key.as_str()), (8, "serve.at"));
        assert!(problem.message.starts_with(message), "{problem:?}");
    }
}

#[test]
fn wrong_limits() {
    let check = |limits: &str, report: &str| {
        check(&format!("{USERS}{FINGER}[limits]\n{limits}"), report);
    };
    check("idle = '0s'\nline = '1KiB'\nconnections = 5", "");
    let names = "expected one of `line`, `string`, `idle`, `handshake`, `shutdown`, `worker_stop`, `upgrade`, `drain`, `connect`, \
         `connections`, `connections_per_peer`, `bytes_per_turn`, `output_high_water`, `output_hard`, `datagram`, \
         `datagram_output`, `descriptors`, `stall`, `thread_calls`, `processes`, `process_output`, \
         `threads`, `jobs_waiting`";
    check(
        "idel = '1s'",
        &format!("f.toml:9: limits.idel: unknown key `idel`; {names}; did you mean `idle`?"),
    );
    check(
        "shutdown = 5\nline = 0\nconnections = '5'",
        "f.toml:9: limits.shutdown: expected a duration such as `\"30s\"`, found an integer\n\
         f.toml:10: limits.line: expected more than nothing\n\
         f.toml:11: limits.connections: expected a whole number from 0, found a string",
    );
    check(
        "output_hard = '1KiB'",
        "f.toml:9: limits.output_hard: 1024 is below `output_high_water`, which is 65536",
    );
}

#[test]
fn everything_is_reported_at_once() {
    check(
        "[provide.a]\nkind = 'x'\n[[serve]]\nwhat = 'b'\nas = 'y'\nat = 'z'\n[limits]\nidle = 1",
        "f.toml:2: provide.a.kind: unknown kind `x`; expected one of `application`, `finger.file`, `finger.memory`, `finger.sqlite`, `metrics`\n\
         f.toml:4: serve.what: unknown provider `b`; expected `a`\n\
         f.toml:5: serve.as: unknown protocol `y`; expected one of `amp`, `finger`, `finger-setter`, `http`, `jsonrpc`, `jsonrpc-lines`, `lines`, `metrics`, `pb`, `xmlrpc`\n\
         f.toml:6: serve.at: unknown kind of endpoint `z`; expected one of `haproxy`, `tcp`, `tcp6`, `unix`\n\
         f.toml:8: limits.idle: expected a duration such as `\"30s\"`, found an integer",
    );
}

#[test]
fn a_file_that_cannot_be_read() {
    let (table, directory) = (Table::new(), Directory::new());
    let registry = Registry::builtin();
    let path = directory.join("absent.toml");
    let problems = Application::load(&path, &registry, table.reactor()).unwrap_err();
    let text = problems.to_string();
    assert!(
        text.contains("absent.toml: cannot read the file: No such file"),
        "{text}"
    );
}

/// A kind that offers nothing that finger could serve.
const DULL: ProviderKind = ProviderKind {
    name: "dull",
    doc: "Nothing.",
    options: &[],
    interfaces: &[],
    make: |_, _| Ok(Box::new(Dull)),
    sharing: crate::Sharing::Undeclared,
};

struct Dull;

impl Provider for Dull {
    fn object(&self, _interface: &str) -> Option<tress_rpc::Object> {
        None
    }
}

#[test]
fn an_object_is_served_only_as_what_it_offers() {
    let table = Table::new();
    let mut registry = Registry::builtin();
    registry.register_provider(DULL);
    let text = format!("[provide.users]\nkind = 'dull'\n{FINGER}");
    let problems = Application::parse("f.toml", text.as_bytes(), &registry, table.reactor());
    assert_eq!(
        problems.unwrap_err().to_string(),
        "f.toml:5: serve.as: `users` is a `dull`, which cannot be served as `finger`; expected nothing"
    );
}

struct Quiet;
impl Protocol for Quiet {}

#[test]
fn an_adapter_of_your_own_wins() {
    let table = Table::new();
    let mut registry = Registry::builtin();
    let finger = registry.exposures().find(|e| e.name == "finger").copied();
    registry.register_exposure(Exposure {
        doc: "Mine.",
        make: Make::Factory(|_| Ok(SharedFactory::new(|| Quiet))),
        ..finger.unwrap()
    });
    let kind = *registry.provider("finger.memory").unwrap();
    let (found, _) = registry.exposure(&kind, "finger", None).unwrap();
    assert_eq!(found.doc, "Mine.");
    let text = format!("{USERS}{FINGER}");
    let loaded = Application::parse("f.toml", text.as_bytes(), &registry, table.reactor());
    assert!(loaded.is_ok());
}

#[test]
fn it_listens_and_stops() {
    let table = Table::new();
    let setter = "[[serve]]\nwhat='users'\nas='finger-setter'\nanonymous=true\nat='tcp:0'\n[limits]\nshutdown='8s'";
    let mut application = load(&table, &format!("{USERS}{FINGER}{setter}")).unwrap();
    assert_eq!(application.name(), "f");
    let log = logged(|| application.start(table.reactor()).unwrap());
    assert_eq!(table.reactor().limits().shutdown, Duration::from_secs(8));
    assert!(log[0].ends_with("listening at tcp:79 as finger"), "{log:?}");
    let second = "listening at tcp:0 as finger-setter (0.0.0.0:49152)";
    assert!(log[1].ends_with(second), "{log:?}");
    let log = logged(|| {
        let stopped = application.stop(table.reactor());
        stopped.try_result().unwrap().unwrap();
    });
    assert!(log[0].ends_with("stopped listening at tcp:0"), "{log:?}");
    assert!(log[1].ends_with("stopped listening at tcp:79"), "{log:?}");
    table.reactor().listen("tcp:79", || Quiet).unwrap();
}

#[test]
fn a_port_that_is_taken_leaves_nothing_started() {
    let table = Table::new();
    table.reactor().listen("tcp:1080", || Quiet).unwrap();
    let setter = "[[serve]]\nwhat='users'\nas='finger-setter'\nanonymous=true\nat='tcp:1080'\n";
    let mut application = load(&table, &format!("{USERS}{FINGER}{setter}")).unwrap();
    let error = application.start(table.reactor()).unwrap_err().to_string();
    let expected = "cannot start `finger-setter` at `tcp:1080`: cannot listen at 0.0.0.0:1080: ";
    assert!(error.starts_with(expected), "{error}");
    table.reactor().listen("tcp:79", || Quiet).unwrap();
}

#[test]
fn several_endpoints_serve_one_object_through_one_factory() {
    thread_local! {
        static LOG: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }
    struct Counted;
    impl Factory for Counted {
        type Protocol = Quiet;

        fn build_protocol(&mut self, _peer: &Address) -> Option<Quiet> {
            LOG.with_borrow_mut(|log| log.push("build"));
            Some(Quiet)
        }

        fn start_factory(&mut self) -> Result {
            LOG.with_borrow_mut(|log| log.push("start"));
            Ok(())
        }

        fn stop_factory(&mut self) {
            LOG.with_borrow_mut(|log| log.push("stop"));
        }
    }
    let check = |expected: &str| LOG.with_borrow(|log| assert_eq!(log.join(" "), expected));
    let table = Table::new();
    let mut registry = Registry::builtin();
    let finger = registry.exposures().find(|e| e.name == "finger").copied();
    registry.register_exposure(Exposure {
        make: Make::Factory(|_| {
            LOG.with_borrow_mut(|log| log.push("make"));
            Ok(SharedFactory::new(Counted))
        }),
        ..finger.unwrap()
    });
    let at = FINGER.replace("'tcp:79'", "['tcp:79', 'tcp:1079', 'tcp:2079']");
    let load = || {
        let text = format!("{USERS}{at}");
        Application::parse("f.toml", text.as_bytes(), &registry, table.reactor()).unwrap()
    };
    let mut application = load();
    application.start(table.reactor()).unwrap();
    check("make start");
    for port in [79, 2079] {
        let to = format!("tcp:192.0.2.2:{port}");
        table.reactor().connect_protocol(&to, Quiet).detach();
    }
    table.settle();
    check("make start build build");
    application.stop(table.reactor()).detach();
    check("make start build build stop");

    LOG.take();
    let taken = table.reactor().listen("tcp:2079", || Quiet).unwrap();
    let error = load().start(table.reactor()).unwrap_err();
    assert_eq!(error.service, "`finger` at `tcp:2079`");
    check("make start stop");
    taken.stop_listening();
    table
        .reactor()
        .listen_all(["tcp:79", "tcp:1079"], || Quiet)
        .unwrap();
}

/// A file for so many workers.
fn on_workers(workers: &str, rest: &str) -> String {
    format!("[app]\nworkers = {workers}\n{rest}")
}

#[test]
fn how_many_workers() {
    let all = format!("{USERS}{FINGER}");
    for good in ["1", "2", "256", "'auto'"] {
        check(&on_workers(good, &all), "");
    }
    for (bad, found) in [
        ("0", "0"),
        ("-1", "-1"),
        ("257", "257"),
        ("1000", "1000"),
        ("'many'", "`many`"),
        ("'2'", "`2`"),
        ("true", "a boolean"),
    ] {
        let report = format!(
            "f.toml:2: app.workers: expected `\"auto\"` or a whole number from 1 to 256, found {found}"
        );
        check(&on_workers(bad, &all), &report);
    }
    let table = Table::new();
    let loaded = load(&table, &on_workers("'auto'", &all)).unwrap();
    assert_eq!(loaded.workers().count(3), 3);
    assert_eq!(loaded.workers().count(0), 1);
    assert_eq!(loaded.workers().count(9_999), 256);
    let loaded = load(&table, &all).unwrap();
    assert_eq!(loaded.workers().count(3), 1, "one by default");
}

#[test]
fn calls_to_the_first_worker_have_limits_that_the_file_says() {
    let on = |keys: &str| on_workers(&format!("2\n{keys}"), &format!("{USERS}{FINGER}"));
    for (bad, expected) in [
        (
            "calls_in_flight = 0",
            "calls_in_flight: expected more than nothing",
        ),
        (
            "calls_in_flight = -1",
            "calls_in_flight: expected a whole number from 0, found -1",
        ),
        (
            "call_deadline = '0s'",
            "call_deadline: expected more than nothing",
        ),
        (
            "call_deadline = 5",
            "call_deadline: expected a duration such as `\"30s\"`, found an integer",
        ),
    ] {
        check(&on(bad), &format!("f.toml:3: app.{expected}"));
    }
    for (keys, in_flight, deadline) in [
        ("", 1000, 30_000),
        ("calls_in_flight = 2\ncall_deadline = '250ms'", 2, 250),
    ] {
        let (home, away, registry) = (Table::new(), Table::new(), Registry::builtin());
        let place = Place::Away(home.reactor().remote());
        let mut loader = Loader::new("f.toml", &registry, away.reactor(), place);
        let config = Config::read(on(keys).as_bytes(), &mut loader.problems);
        loader.workers(&config);
        let kind = registry.provider("finger.memory").unwrap();
        let provider = loader.make(kind, &config.provide[0]).unwrap();
        let object = provider.object("Finger").unwrap();
        let call = || {
            object.call(
                &tress_rpc::CallContext::local(away.reactor()),
                "getUsers",
                Vec::<tress_rpc::Value>::new(),
            )
        };
        // Nobody turns the home: nothing is answered.
        let mut calls: Vec<_> = (0..in_flight).map(|_| call()).collect();
        let refused = call().try_result().expect("at once").unwrap_err();
        let limit = in_flight;
        assert_eq!(refused.check(), Some(&tress_rpc::TooManyCalls { limit }));
        away.advance(Duration::from_millis(deadline - 1));
        away.settle();
        let first = calls.remove(0).try_result().expect_err("not yet");
        away.advance(Duration::from_millis(1));
        away.settle();
        let late = first.try_result().expect("its time is over").unwrap_err();
        assert!(late.check::<tress_rpc::NoAnswer>().is_some(), "{late}");
    }
}

#[test]
fn what_several_workers_cannot_share_is_refused() {
    let table = Table::new();
    let mut registry = Registry::builtin();
    registry.register_provider(DULL);
    let report = |registry: &Registry, text: &str| {
        let parsed = Application::parse("f.toml", text.as_bytes(), registry, table.reactor());
        parsed
            .err()
            .map(|problems| problems.to_string())
            .unwrap_or_default()
    };
    let dull = "[provide.dull]\nkind = 'dull'\n";
    let all = format!("{dull}{USERS}{FINGER}");
    assert_eq!(report(&registry, &on_workers("1", &all)), "");
    for many in ["2", "'auto'"] {
        assert_eq!(
            report(&registry, &on_workers(many, &all)),
            "f.toml:4: provide.dull.kind: `dull` does not say whether each worker has its own or all share one: \
             it runs with `workers = 1` only"
        );
    }
    registry.set_files(crate::files::SystemFiles);
    let text = on_workers("2", &format!("{USERS}{FINGER}"));
    assert_eq!(
        report(&registry, &text),
        "f.toml:2: app.workers: more than one worker, but the files of this registry belong to one thread"
    );
}
