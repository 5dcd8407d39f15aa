//! The application served as any other object: where it may be, who may call, and what comes over the wires, in the
//! simulator.

use super::{
    super::*,
    USERS,
    control::{Heard, InMemory},
    load,
};
use crate::control::{DynApplication, ServiceStatus};
use std::time::Duration;
use tress_core::{Deferred, Failure, testing::memory::Table};
use tress_rpc::{
    CallContext, Carrier, Client, ExposureLimits, Fault, amp::connect_amp,
    jsonrpc::connect_json_rpc,
};
use tress_sim::World;

/// What is said of the application at this endpoint.
fn said(kind: &str, serve: &str) -> String {
    let text = format!(
        "[provide.me]\nkind = 'application'\n[auth.a]\nkind = 'tokens'\nusers = {{}}\n\
         [[serve]]\nwhat = 'me'\nas = '{kind}'\n{serve}\n"
    );
    let problems = load(&Table::new(), &text).err();
    problems
        .map(|problems| problems.to_string())
        .unwrap_or_default()
}

const MACHINE: &str = "f.toml:9: serve.at: everybody on this machine reaches it and could stop the application; expected \
                       `auth`, `anonymous = true`, or ";
const OWNER: &str =
    "a UNIX socket that only its owner opens, such as `unix:/run/app.control:mode=600`";
const OTHERS: &str = "f.toml:9: serve.at: others than this machine reach it, and nothing says who may call; expected `auth`, \
                      `anonymous = true`, or an endpoint such as `tcp:7:interface=127.0.0.1`";
const EVERYBODY: &str = "f.toml:10: serve.anonymous: the application itself is not for everybody where others than this \
                         machine reach it; expected `auth`, and no `anonymous = true`";

#[test]
fn it_is_served_only_to_those_who_may() {
    let strict = &*format!("{MACHINE}{OWNER}");
    let mode = &*format!("{MACHINE}`unix:/run/x:mode=600`");
    for (at, expected) in [
        ("at = 'unix:/run/x:mode=600'", ""),
        ("at = 'unix:/run/x:mode=0o660'", ""),
        ("at = 'unix:/run/x'", mode),
        ("at = 'unix:/run/x:mode=662'", strict),
        ("at = 'unix:@x'", strict),
        ("at = 'tcp:7:interface=127.0.0.1'", strict),
        (
            "at = ['unix:/run/x:mode=600', 'tcp:7:interface=127.0.0.1']",
            strict,
        ),
        ("at = 'tcp:7:interface=127.0.0.1'\nanonymous = true", ""),
        ("at = 'tcp:7:interface=127.0.0.1'\nauth = 'a'", ""),
        ("at = 'tcp:7'\nauth = 'a'\nplaintext = true", ""),
        ("at = 'tcp:7'", OTHERS),
        ("at = 'tcp:7'\nanonymous = true", EVERYBODY),
        ("at = 'haproxy:tcp:7'\nanonymous = true", EVERYBODY),
        (
            "at = 'tcp:7'\nanonymous = true\nauth = 'a'\nplaintext = true",
            EVERYBODY,
        ),
    ] {
        assert_eq!(said("http", at), expected, "{at}");
        if !at.contains("auth = ") {
            assert_eq!(said("amp", at), expected, "{at}");
        }
    }
}

#[test]
fn control_is_a_section_of_its_own() {
    let table = Table::new();
    let check = |text: &str, expected: &str| {
        let problems = load(&table, text).err();
        assert_eq!(
            problems.map(|p| p.to_string()).unwrap_or_default(),
            expected,
            "{text}"
        );
    };
    check("[control]\nat = 'unix:/run/x:mode=600'\n", "");
    check("[control]\n", "");
    check(
        "[control]\nat = 'tcp:7'\n",
        "f.toml:2: control.at: others than this machine reach it, and nothing says who may call; expected `auth`, \
         `anonymous = true`, or an endpoint such as `tcp:7:interface=127.0.0.1`",
    );
    check(
        "[control]\nta = 'x'\n",
        "f.toml:2: control.ta: unknown key `ta`; expected one of `at`, `name`, `interface`, `auth`, `anonymous`, `plaintext`, \
         `request_bytes`, `response_bytes`, `nesting`, `batch`, `calls_in_flight`, `call_deadline`, `login_attempts`, \
         `login_deadline`, `login_delay`; did you mean `at`?",
    );
    check(
        "control = 1\n[[serve]]\nwhat='a'\nas='a'\nat='a'",
        "f.toml:1: control: expected [control], found an integer\nf.toml:3: serve.what: unknown provider `a`; there is none\nf.toml:4: serve.as: unknown protocol `a`; expected one of `amp`, `finger`, `finger-setter`, `http`, `jsonrpc`, `jsonrpc-lines`, `lines`, `metrics`, `pb`, `xmlrpc`\nf.toml:5: serve.at: unknown kind of endpoint `a`; expected one of `haproxy`, `tcp`, `tcp6`, `unix`",
    );
    let config = config::Config::parse("/etc/a:b/web.toml", b"[control]\n").unwrap();
    let at = &config.control.unwrap().endpoints[0].value;
    assert_eq!(at, "unix:/etc/a\\:b/web.control:mode=600");
}

const FILE: &str = "app.toml";

/// The application with a finger, and itself through everything.
const TEXT: &str = "
[auth.staff]
kind = 'tokens'
users = { robot = { file = 'token' } }

[provide.me]
kind = 'application'

[[serve]]
what = 'users'
as = 'finger'
at = 'tcp:79'

[[serve]]
what = 'me'
as = 'amp'
at = 'tcp:8001:interface=127.0.0.1'
anonymous = true

[[serve]]
what = 'me'
as = 'jsonrpc-lines'
at = 'tcp:8002:interface=127.0.0.1'
anonymous = true

[[serve]]
what = 'me'
as = 'http'
at = 'tcp:8003'
auth = 'staff'
plaintext = true

[[serve]]
what = 'users'
as = 'http'
at = 'tcp:8003'
auth = 'staff'
plaintext = true
interface = 'Finger'

[[serve]]
what = 'me'
as = 'lines'
at = 'tcp:8004:interface=127.0.0.1'
anonymous = true
";

struct Town {
    world: World,
    host: Reactor,
    files: InMemory,
    /// Kept alive.
    _application: Application,
}

impl Town {
    fn new() -> Self {
        let world = World::new(7);
        let host = Reactor::with(world.host("10.0.0.1"));
        let files = InMemory::default();
        files.write("token", "sesame\n");
        let text = format!("{USERS}{TEXT}");
        files.write(FILE, &text);
        let mut registry = Registry::builtin();
        registry.set_files(files.clone());
        let loaded = Application::parse(FILE, text.as_bytes(), &registry, &host);
        let mut application = loaded.unwrap();
        application.start(&host).unwrap();
        Self {
            world,
            host,
            files,
            _application: application,
        }
    }

    fn run(&self) {
        self.run_for(Duration::from_millis(500));
    }

    fn run_for(&self, time: Duration) {
        self.world.run_for(time, &[&self.host]).unwrap();
    }

    fn done<T: 'static>(&self, waits: Deferred<T>) -> Result<T> {
        self.run();
        waits
            .try_result()
            .unwrap_or_else(|_| Err(Failure::msg("no answer yet")))
    }

    /// The application behind a connection.
    fn reach<C: Carrier>(&self, connected: Deferred<C>) -> (Rc<dyn DynApplication>, CallContext) {
        let client = self.done(connected).unwrap();
        let object = <dyn DynApplication>::TWIN(Client::new(client));
        (
            object.get::<dyn DynApplication>().unwrap(),
            CallContext::local(&self.host),
        )
    }

    fn ask(&self, port: u16, says: &str) -> (String, Heard) {
        let open = Heard::saying(says);
        let at = format!("tcp:127.0.0.1:{port}");
        self.host.connect_protocol(&at, open.clone()).detach();
        self.run();
        (open.all(), open)
    }
}

const ALL: [&str; 6] = [
    "users-finger",
    "me-amp",
    "me-jsonrpc-lines",
    "me-http",
    "users-http",
    "me-lines",
];

#[test]
fn it_is_an_object_like_any_other() {
    let town = Town::new();
    let descriptor = <dyn DynApplication>::DESCRIPTOR;
    let limits = ExposureLimits::default();
    let amp = town.reach(connect_amp(
        &town.host,
        "tcp:127.0.0.1:8001",
        descriptor,
        limits,
    ));
    let json = town.reach(connect_json_rpc(
        &town.host,
        "tcp:127.0.0.1:8002",
        descriptor,
        limits,
    ));
    for (application, context) in [&amp, &json] {
        let list = town.done(application.clone().list(context)).unwrap();
        let names: Vec<&str> = list.iter().map(|service| &*service.name).collect();
        assert_eq!(names, ALL);
        let expected = ServiceStatus {
            name: "users-finger".into(),
            state: "running".into(),
            what: "users".into(),
            protocols: vec!["finger".into()],
            at: vec!["tcp:79".into()],
            attached: false,
            since: list[0].since,
        };
        assert_eq!(list[0], expected);
        assert_eq!(
            town.done(application.clone().stop(context, "users-finger".into()))
                .unwrap(),
            "stopped"
        );
        assert_eq!(
            town.done(application.clone().start(context, "users-finger".into()))
                .unwrap(),
            "started"
        );
        let unknown = town
            .done(application.clone().start(context, "x".into()))
            .unwrap_err();
        assert_eq!(Fault::of(&unknown).code(), "no-such-service");
        let statistics = town.done(application.clone().statistics(context)).unwrap();
        assert_eq!(statistics.services.len(), 6);
        let set = town.done(application.clone().limits(context)).unwrap();
        assert_eq!(set.len(), tress_core::Limits::TABLE.len());
        let refused = town
            .done(application.clone().log_level(context, Some("debug".into())))
            .unwrap_err();
        assert_eq!(Fault::of(&refused).code(), "refused", "nobody has said how");
        let serve = "[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:7979'\n";
        let attached = town
            .done(application.clone().attach(context, serve.into()))
            .unwrap();
        assert_eq!(attached, ["users-finger-2"]);
        assert_eq!(town.ask(7979, "moshez\r\n").0, "Happy\r\n");
        town.done(application.clone().detach(context, "users-finger-2".into()))
            .unwrap();
        let done = town.done(application.clone().reload(context)).unwrap();
        assert_eq!(done.kept, ALL);
    }
}

#[test]
fn people_drive_it_by_lines_and_pages_do_not() {
    let town = Town::new();
    let shown = town
        .ask(8004, "list\nstop users-finger\nstop users-finger\n")
        .0;
    assert!(
        shown.contains("users-finger") && shown.ends_with("stopped\r\n\r\ndoes not run\r\n\r\n"),
        "{shown}"
    );
    // A page makes a browser send lines.
    let (shown, open) = town.ask(
        8004,
        "POST / HTTP/1.1\r\nHost: localhost:8004\r\n\r\nstart users-finger\n",
    );
    assert!(
        shown.starts_with("! bad-arguments: ") && shown.lines().count() <= 2,
        "{shown}"
    );
    assert!(open.has_ended(), "it is closed");
    assert_eq!(town.ask(79, "moshez\r\n").0, "", "it was not started");
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

const TOKEN: &str = "Authorization: Bearer sesame\r\n";

#[test]
fn over_http_its_callers_are_known_and_no_page_drives_it() {
    let town = Town::new();
    let ask = |request: &str| town.ask(8003, request).0;
    let list = ask(&post("/Application/list", TOKEN, "{}"));
    assert!(
        list.starts_with("HTTP/1.1 200 OK\r\n") && list.contains("\"me-http\""),
        "{list}"
    );
    assert!(!list.contains("sesame"), "{list}");
    let nobody = ask(&post(
        "/Application/stop",
        "",
        "{\"name\":\"users-finger\"}",
    ));
    assert!(nobody.starts_with("HTTP/1.1 401 "), "{nobody}");
    let page = format!("{TOKEN}Origin: https://evil.example\r\n");
    let page = ask(&post(
        "/Application/stop",
        &page,
        "{\"name\":\"users-finger\"}",
    ));
    assert!(page.starts_with("HTTP/1.1 403 "), "{page}");
    assert_eq!(town.ask(79, "moshez\r\n").0, "Happy\r\n");
    // Another token is in the file: it counts from a reload on, and nobody who is connected is sent away.
    let (_, open) = town.ask(8003, &post("/Application/list", TOKEN, "{}"));
    town.files.write("token", "other\n");
    let reloaded = ask(&post("/Application/reload", TOKEN, "{}"));
    assert!(
        reloaded.contains("\"kept\":[\"users-finger\""),
        "{reloaded}"
    );
    let (_, denied) = town.ask(8003, &post("/Application/list", TOKEN, "{}"));
    town.run_for(ExposureLimits::default().login_delay);
    assert!(denied.all().starts_with("HTTP/1.1 401 "));
    open.say(&post(
        "/Application/list",
        &TOKEN.replace("sesame", "other"),
        "{}",
    ));
    town.run();
    let answer = open.all();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn services_that_share_a_listener_come_and_go_without_it() {
    let town = Town::new();
    let connect = || {
        let (users, open) = town.ask(8003, &post("/Finger/getUsers", TOKEN, "{}"));
        assert!(users.ends_with("[\"moshez\"]"), "{users}");
        open
    };
    let mut open = connect();
    let say = |open: &Heard, path: &str, body: &str| {
        open.say(&post(path, TOKEN, body));
        town.run();
        open.all()
    };
    let other = connect();
    let name = "{\"name\":\"users-http\"}";
    assert!(say(&open, "/Application/stop", name).ends_with("\"stopped\""));
    // Refused with its body unread, it ends.
    assert!(
        say(&open, "/Finger/getUsers", "{}").starts_with("HTTP/1.1 404 "),
        "on the same connection"
    );
    assert!(say(&other, "/Application/start", name).ends_with("\"started\""));
    assert!(say(&other, "/Finger/getUsers", "{}").ends_with("[\"moshez\"]"));
    open = connect();
    let again = |path: &str, body: &str| say(&open, path, body);
    let serve = "[[serve]]\\nwhat = 'users'\\nas = 'http'\\nat = 'tcp:8003'\\nauth = 'staff'\\nplaintext = true\\npath = '/v2'\\n";
    let attached = again("/Application/attach", &format!("{{\"serve\":\"{serve}\"}}"));
    assert!(attached.ends_with("[\"users-http-2\"]"), "{attached}");
    assert!(again("/v2/Finger/getUsers", "{}").ends_with("[\"moshez\"]"));
    let refused = again("/Application/attach", &format!("{{\"serve\":\"{serve}\"}}"));
    assert!(refused.contains("\"code\":\"refused\""), "{refused}");
}

/// A call that stops the service over which it came is answered; then the connection ends.
#[test]
fn who_stops_the_service_that_carries_the_call_gets_the_answer() {
    let town = Town::new();
    let descriptor = <dyn DynApplication>::DESCRIPTOR;
    let limits = ExposureLimits::default();
    let (amp, context) = town.reach(connect_amp(
        &town.host,
        "tcp:127.0.0.1:8001",
        descriptor,
        limits,
    ));
    assert_eq!(
        town.done(amp.clone().stop(&context, "me-amp".into()))
            .unwrap(),
        "stopped"
    );
    town.run();
    town.run();
    assert!(
        town.done(amp.clone().list(&context)).is_err(),
        "the connection has ended"
    );
    let (lines, open) = town.ask(8004, "detach me-lines\n");
    assert_eq!(lines, "ok\r\n\r\n");
    let (http, kept) = town.ask(
        8003,
        &post("/Application/stop", TOKEN, "{\"name\":\"me-http\"}"),
    );
    assert!(http.ends_with("\"stopped\""), "{http}");
    town.run();
    town.run();
    assert!(open.has_ended());
    assert!(
        !kept.has_ended(),
        "the other service of that listener goes on"
    );
    // The last one, by a reload.
    let (json, context) = town.reach(connect_json_rpc(
        &town.host,
        "tcp:127.0.0.1:8002",
        descriptor,
        limits,
    ));
    town.files.write(
        FILE,
        &format!("{USERS}[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:79'\n"),
    );
    let done = town.done(json.clone().reload(&context)).unwrap();
    assert_eq!((done.kept.len(), done.stopped.len()), (1, 2));
    for _ in 0..4 {
        town.run();
    }
    assert!(town.done(json.clone().list(&context)).is_err());
    assert!(kept.has_ended());
}
