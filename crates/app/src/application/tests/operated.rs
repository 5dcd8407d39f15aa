//! What an operator looks at: the log that a file asks for, and figures for Prometheus.

use super::{
    super::*,
    FINGER, USERS,
    control::{Heard, InMemory, NOTED},
};
use crate::{LogStep, config::LogSection, control::Metrics as _, testing::Directory};
use std::{
    fs,
    sync::{Arc, Mutex},
};
use tress_core::testing::memory::Table;
use tress_rpc::Fault;

/// What is done about a log, in words; a level `no` cannot be, and `never` only at the last moment.
fn logging(registry: &mut Registry) -> Arc<Mutex<Vec<String>>> {
    let steps = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&steps);
    registry.set_log(Arc::new(move |log: &LogSection, step| {
        noted
            .lock()
            .unwrap()
            .push(format!("{step:?} {}", log.level));
        match (&*log.level, step) {
            ("no", _) | ("never", LogStep::Become) => Err(("level", "it cannot be".to_owned())),
            _ => Ok(()),
        }
    }));
    steps
}

#[test]
fn a_log_is_checked_with_the_file_and_changed_with_it() {
    let (table, directory) = (Table::new(), Directory::new());
    let mut registry = Registry::builtin();
    let level =
        |level: &str, rest: &str| format!("{USERS}{FINGER}[log]\nlevel = '{level}'\n{rest}");
    let file = directory.file("a.toml", &level("warn", ""));
    let refused = Application::load(&file, &registry, table.reactor()).unwrap_err();
    let path = file.display();
    let own = format!("{path}:8: log: this program has a log of its own, which no file changes");
    assert_eq!(refused.to_string(), own);

    let steps = logging(&mut registry);
    registry.register_provider(NOTED);
    let check = |expected: &[&str]| {
        let done = std::mem::take(&mut *steps.lock().unwrap());
        assert_eq!(done, expected);
    };
    fs::write(&file, level("no", "")).unwrap();
    let refused = Application::load(&file, &registry, table.reactor()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("{path}:9: log.level: it cannot be")
    );
    check(&["Check no"]);

    fs::write(&file, level("warn", "")).unwrap();
    let mut application = Application::load(&file, &registry, table.reactor()).unwrap();
    application.start(table.reactor()).unwrap();
    check(&["Check warn"]);
    let reload = |text: &str| {
        fs::write(&file, text).unwrap();
        let control = application.control();
        let done = table
            .reactor()
            .spawn(async move { crate::control::Application::reload(&control).await });
        let done = done
            .try_result()
            .unwrap()
            .map_err(|failure| Fault::of(&failure));
        done.err()
            .map_or_else(String::new, |fault| fault.message().to_owned())
    };
    assert_eq!(reload(&level("debug", "")), "");
    check(&["Check debug", "Become debug"]);
    assert_eq!(
        reload(&level("never", "")),
        format!("{path}:9: log.level: it cannot be")
    );
    check(&["Check never", "Become never"]);
    // What fails after that has the log taken back.
    let broken = "[provide.broken]\nkind = 'noted'\nfails = true\n";
    let message = reload(&level("trace", broken));
    assert!(message.contains("it is broken"), "{message}");
    check(&["Check trace", "Become trace", "Become debug"]);
    // Where anything else is wrong it is not even asked.
    assert!(!reload(&level("trace", "[[serve]]\n")).is_empty());
    check(&[]);
    // Without the section it is what the program has by default.
    assert_eq!(reload(&format!("{USERS}{FINGER}")), "");
    assert_eq!(
        steps.lock().unwrap().last().map(String::as_str),
        Some("Become info")
    );
}

const FIGURES: &str = "
[provide.figures]
kind = 'metrics'

[[serve]]
what = 'figures'
as = 'metrics'
at = 'tcp:90:interface=127.0.0.1'

[[serve]]
what = 'users'
as = 'http'
at = 'tcp:90:interface=127.0.0.1'

[[serve]]
what = 'users'
name = 'spoken'
as = 'lines'
at = ['tcp:91:interface=127.0.0.1', 'tcp:92:interface=127.0.0.1']
";

/// The samples, sorted, of those metrics whose names begin so.
fn samples(application: &Application, reactor: &Reactor, begin: &str) -> Vec<String> {
    let control = application.control();
    let text = reactor.spawn(async move { control.metrics().await });
    let text = text.try_result().unwrap().unwrap();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with(&format!("tress_{begin}")))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn each_service_and_each_endpoint_has_its_figures() {
    let (table, files) = (Table::new(), InMemory::default());
    let mut registry = Registry::builtin();
    registry.set_files(files);
    let text = format!("{USERS}{FINGER}{FIGURES}");
    let loaded = Application::parse("f.toml", text.as_bytes(), &registry, table.reactor());
    let mut application = loaded.unwrap();
    application.start(table.reactor()).unwrap();
    let reactor = table.reactor();
    let ask = |port: u16, says: &'static str| {
        let heard = Heard::saying(says);
        let at = format!("tcp:192.0.2.2:{port}");
        reactor.connect_protocol(&at, heard.clone()).detach();
        table.settle();
        heard
    };
    let _open = ask(91, "getUsers\r\ngetUsers\r\n");
    let gone = ask(79, "moshez\r\n");
    assert_eq!(gone.all(), "Happy\r\n");
    let at = |service: &str, endpoint: &str| {
        let at = format!("{endpoint}:interface=127.0.0.1");
        format!("{{service=\"{service}\",endpoint=\"{at}\"}}")
    };
    let expected = |name: &str, values: [u64; 4]| {
        let both = at("figures-metrics,users-http", "tcp:90");
        [
            format!("tress_{name}{both} {}", values[1]),
            format!("tress_{name}{} {}", at("spoken", "tcp:91"), values[2]),
            format!("tress_{name}{} {}", at("spoken", "tcp:92"), values[3]),
            format!(
                "tress_{name}{{service=\"users-finger\",endpoint=\"tcp:79\"}} {}",
                values[0]
            ),
        ]
    };
    let found = |name: &str| samples(&application, reactor, name);
    assert_eq!(
        found("endpoint_connections"),
        expected("endpoint_connections", [0, 0, 1, 0])
    );
    assert_eq!(
        found("endpoint_accepted_total"),
        expected("endpoint_accepted_total", [1, 0, 1, 0])
    );
    let received = "endpoint_received_bytes_total";
    assert_eq!(found(received), expected(received, [8, 0, 20, 0]));
    assert_eq!(found("service_calls_total{service=\"spoken\"}").len(), 1);
    assert_eq!(
        found("service_calls_total"),
        [
            "tress_service_calls_total{service=\"figures-metrics\"} 0",
            "tress_service_calls_total{service=\"spoken\"} 2",
            "tress_service_calls_total{service=\"users-finger\"} 0",
            "tress_service_calls_total{service=\"users-http\"} 0",
        ]
    );
    assert_eq!(
        found("service_call_faults_total{service=\"spoken\"}"),
        ["tress_service_call_faults_total{service=\"spoken\"} 0"]
    );
    assert_eq!(
        found("connections_accepted_total"),
        ["tress_connections_accepted_total 2"]
    );
    assert_eq!(found("service_running").len(), 4);
}

#[test]
fn whoever_reads_figures_is_let_in_as_everywhere() {
    let said = |serve: &str| {
        let text = format!(
            "[provide.f]\nkind = 'metrics'\n[auth.a]\nkind = 'tokens'\nusers = {{}}\n\
             [[serve]]\nwhat = 'f'\nas = 'metrics'\n{serve}\n"
        );
        let problems = super::load(&Table::new(), &text).err();
        problems.map_or_else(String::new, |problems| problems.to_string())
    };
    for right in [
        "at = 'tcp:7:interface=127.0.0.1'",
        "at = 'unix:/run/x'",
        "at = 'tcp:7'\nanonymous = true",
        "at = 'tcp:7'\nauth = 'a'\nplaintext = true",
        "at = 'tcp:7:interface=127.0.0.1'\npath = '/figures'",
    ] {
        assert_eq!(said(right), "", "{right}");
    }
    let open = said("at = 'tcp:7'");
    assert!(open.contains("nothing says who may call"), "{open}");
    let plain = said("at = 'tcp:7'\nauth = 'a'");
    assert!(
        plain.contains("would cross the network as they are"),
        "{plain}"
    );
    let path = said("at = 'tcp:7:interface=127.0.0.1'\npath = 'figures'");
    assert!(path.contains("`figures` is no path"), "{path}");
}
