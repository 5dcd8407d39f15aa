//! Plug-ins of all sorts, as children in the simulator: what they tell, how they misbehave, and what callers notice.

use super::{
    learn::ask,
    spec::{PLUGIN_OPTIONS, PluginSpec},
    told::Told,
};
use crate::{
    Control, Registry,
    config::{Config, Problems},
    registry::{Provider, ProviderContext},
    testing,
};
use serde_json::{Value as Json, json};
use std::{cell::RefCell, path::Path, rc::Rc, time::Duration};
use tress_core::{Deferred, Reactor, Result, Signal};
use tress_protocols::finger::{DynFinger, Finger, FingerClient};
use tress_rpc::{CallContext, Fault, Object, Value, fault};
use tress_sim::{ProgramEvent, ProgramHandle, World};

/// What a child does.
#[derive(Clone, Debug)]
struct Script {
    /// Said to `hello`; nothing when it says nothing at all.
    hello: Option<Json>,
    /// Said of each kind.
    describe: Json,
    /// Written before anything was asked.
    first: Vec<u8>,
    /// It ends with this code when it is asked this.
    dies_at: Option<(&'static str, u8)>,
    /// What it has started keeps its pipes when it ends.
    leaves: bool,
    /// It goes on when its input ends, and when it is told to end.
    stays: bool,
    /// It refuses to make its objects.
    refuses: bool,
    /// It does not answer calls.
    mute: bool,
    /// It reads nothing more once it has made an object.
    deaf: bool,
    /// It says rubbish then.
    raves: bool,
}

fn say() -> Json {
    let text = json!({"type": "string", "maxLength": 5});
    json!({
        "doc": "Says it again.",
        "options": [{"name": "twice", "type": "boolean", "default": false, "doc": "Whether it says it twice."},
                    {"name": "after", "type": "duration", "default": "2s"},
                    {"name": "file", "type": "path"}],
        "interface": {"name": "Sayer", "doc": "Says.", "methods": [
            {"name": "say", "arguments": [{"name": "text", "schema": text}], "result": {"type": "string"}},
            {"name": "count", "result": {"type": "integer"}}]},
    })
}

impl Default for Script {
    fn default() -> Self {
        Self {
            hello: Some(json!({"version": 1, "name": "plug", "release": "2.0", "kinds": ["say"]})),
            describe: say(),
            first: Vec::new(),
            dies_at: None,
            leaves: false,
            stays: false,
            refuses: false,
            mute: false,
            deaf: false,
            raves: false,
        }
    }
}

type Log = Rc<RefCell<Vec<String>>>;

/// One child.
struct Fake {
    script: Script,
    input: Vec<u8>,
    /// What it was asked.
    log: Log,
}

fn put(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend_from_slice(text);
}

fn written(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        put(&mut out, key.as_bytes());
        put(&mut out, value);
    }
    out.extend_from_slice(&[0, 0]);
    out
}

impl Fake {
    fn next(&mut self) -> Option<Vec<(String, String)>> {
        let mut pairs = Vec::new();
        let mut at = 0;
        let mut part = || {
            let length = self.input.get(at..at + 2)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let part = self.input.get(at + 2..at + 2 + length)?;
            at += 2 + length;
            Some(String::from_utf8(part.to_vec()).unwrap())
        };
        loop {
            let key = part()?;
            if key.is_empty() {
                self.input.drain(..at);
                return Some(pairs);
            }
            pairs.push((key, part()?));
        }
    }

    fn happens(&mut self, child: &mut ProgramHandle, event: &ProgramEvent<'_>) {
        match event {
            ProgramEvent::Started => {
                if self.script.stays {
                    child.catch_signal(Signal::Term);
                }
                child.write(1, &self.script.first.clone());
            }
            ProgramEvent::Data(0, bytes) => {
                self.input.extend_from_slice(bytes);
                while let Some(pairs) = self.next() {
                    self.asked(child, &pairs);
                }
            }
            ProgramEvent::Closed(0) if !self.script.stays => self.exits(child, 0),
            _ => {}
        }
    }

    fn exits(&self, child: &mut ProgramHandle, code: u8) {
        match self.script.leaves {
            true => child.exit_and_go_on(code),
            false => child.exit(code),
        }
    }

    fn asked(&self, child: &mut ProgramHandle, pairs: &[(String, String)]) {
        let get = |name: &str| {
            let found = pairs.iter().find(|(key, _)| key == name);
            found.map_or("", |(_, value)| value)
        };
        let command = get("_command");
        let own = pairs.iter().filter(|(key, _)| !key.starts_with('_'));
        let own: Vec<&str> = own.map(|(_, value)| &**value).collect();
        self.log
            .borrow_mut()
            .push(format!("{command}({})", own.join(", ")));
        if let Some((at, code)) = self.script.dies_at
            && at == command
        {
            return self.exits(child, code);
        }
        let result = match command {
            "hello" => match &self.script.hello {
                Some(hello) => Some(hello.clone()),
                None => return,
            },
            "describe" => Some(self.script.describe.clone()),
            "call" if self.script.mute => return,
            "call" if get("method") == "count" => Some(json!("many")),
            "call" => {
                let arguments: Json = serde_json::from_str(get("arguments")).unwrap();
                Some(arguments["text"].clone())
            }
            _ => None,
        };
        if command == "make" && self.script.deaf {
            child.set_reading(0, false);
        }
        if command == "make" && self.script.raves {
            return child.write(1, b"rubbish");
        }
        let ask = get("_ask").as_bytes();
        child.write(
            1,
            &match (command, result) {
                ("make", _) if self.script.refuses => written(&[
                    ("_error", ask),
                    ("_error_code", b"bad-options"),
                    ("_error_description", b"no such thing"),
                ]),
                (_, Some(result)) => {
                    written(&[("_answer", ask), ("result", result.to_string().as_bytes())])
                }
                (_, None) => written(&[("_answer", ask)]),
            },
        );
    }
}

/// A host on which the program `plug` does what the scripts say: each child the next, and the last for ever.
struct Host {
    world: World,
    reactor: Reactor,
    log: Log,
    /// Children that were started.
    starts: Rc<RefCell<usize>>,
}

impl Host {
    fn new(scripts: &[Script]) -> Self {
        let world = World::new(7);
        let (log, starts) = (Log::default(), Rc::<RefCell<usize>>::default());
        let (scripts, kept, counted) = (scripts.to_vec(), Rc::clone(&log), Rc::clone(&starts));
        world.add_program("plug", move || {
            let number = counted.replace_with(|number| *number + 1);
            let mut fake = Fake {
                script: scripts[number.min(scripts.len() - 1)].clone(),
                input: Vec::new(),
                log: Rc::clone(&kept),
            };
            move |child: &mut ProgramHandle, event: ProgramEvent<'_>| fake.happens(child, &event)
        });
        let reactor = Reactor::with(world.host("10.0.0.1"));
        Self {
            world,
            reactor,
            log,
            starts,
        }
    }

    fn run(&self, seconds: u64) {
        let time = Duration::from_secs(seconds);
        self.world.run_for(time, &[&self.reactor]).unwrap();
    }

    /// What comes of it within this time.
    fn wait<T: 'static>(&self, deferred: Deferred<T>, seconds: u64) -> Option<Result<T>> {
        let result = Rc::new(RefCell::new(None));
        let kept = Rc::clone(&result);
        deferred
            .add_both(move |came| drop(kept.replace(Some(came))))
            .detach();
        self.run(seconds);
        result.take()
    }

    fn told(&self) -> Told {
        self.wait(ask(&self.reactor, &spec("")), 30)
            .unwrap()
            .unwrap()
    }

    /// A provider of its kind `say`, started.
    fn provider(&self, more: &str, options: &str) -> Box<dyn Provider> {
        let told = Told {
            name: "plug 2.0".to_owned(),
            kinds: [("say".to_owned(), say())].into(),
        };
        let mut registry = Registry::builtin();
        registry.register_plugin(spec(more), told).unwrap();
        provider(&registry, &self.reactor, "plug.say", options)
    }

    fn call(&self, object: &Object, method: &str, text: Option<&str>) -> Deferred<Value> {
        let context = CallContext::local(&self.reactor);
        let arguments: Vec<Value> = text.into_iter().map(Value::from).collect();
        object.call(&context, method, arguments)
    }

    /// What a call gives within a minute, or with which code it fails.
    #[track_caller]
    fn says(&self, object: &Object, method: &str, text: Option<&str>) -> String {
        match self
            .wait(self.call(object, method, text), 60)
            .expect("an end")
        {
            Ok(value) => format!("{value:?}"),
            Err(failure) => Fault::of(&failure).to_string(),
        }
    }
}

/// What is logged meanwhile, a line each.
fn logged(run: impl FnOnce()) -> String {
    testing::logged(run).join("\n") + "\n"
}

fn spec(more: &str) -> PluginSpec {
    let text = format!("command = 'plug'\n{more}");
    PluginSpec::parse(Path::new("plugins.d/plug.toml"), text.as_bytes()).unwrap()
}

fn provider(
    registry: &Registry,
    reactor: &Reactor,
    kind: &str,
    options: &str,
) -> Box<dyn Provider> {
    let kind = registry.provider(kind).unwrap();
    let text = format!("[provide.it]\nkind='{}'\n{options}", kind.name);
    let mut problems = Problems::new("dir/a.toml");
    let mut config = Config::read(text.as_bytes(), &mut problems);
    let options = &mut config.provide[0].options;
    let mut problems = Problems::new("dir/a.toml");
    options.check(kind.options, &mut problems);
    assert_eq!(problems.to_string(), "");
    let context = ProviderContext {
        name: "it",
        kind,
        plugin: registry.plugins.get(kind.name),
        reactor,
        files: registry.files(),
        application: &Control::default(),
    };
    let mut provider = (kind.make)(&context, options).unwrap();
    provider.start(reactor).unwrap();
    provider
}

#[test]
fn it_tells_who_it_is_and_what_it_gives() {
    let host = Host::new(&[Script::default()]);
    let told = host.told();
    assert_eq!(told.name, "plug 2.0");
    assert_eq!(told.kinds["say"], say());
    let engine = concat!("tress ", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        *host.log.borrow(),
        [format!("hello(1, {engine})"), "describe(say)".into()]
    );
    assert_eq!(host.reactor.statistics().processes, 0);
}

#[track_caller]
fn check(script: Script, more: &str, expected: &str) {
    let host = Host::new(&[script]);
    let asked = host.wait(ask(&host.reactor, &spec(more)), 60);
    let failure = asked.expect("an end").expect_err("it is refused");
    assert!(failure.to_string().contains(expected), "{failure}");
    assert_eq!(host.reactor.statistics().processes, 0, "it is ended");
}

#[test]
fn what_does_not_tell_who_it_is_is_refused() {
    let hello = |hello: Json| Script {
        hello: Some(hello),
        ..Script::default()
    };
    let kinds =
        |kinds: Json| hello(json!({"version": 1, "name": "a", "release": "1", "kinds": kinds}));
    check(
        hello(json!({"version": 2, "name": "a", "release": "1", "kinds": ["say"]})),
        "",
        "it speaks version 2 of the protocol of plug-ins; expected 1",
    );
    check(
        Script {
            hello: None,
            ..Script::default()
        },
        "handshake = '7s'\ncall_deadline = '1h'",
        "it has not told what it gives within 7s (`handshake`)",
    );
    check(hello(json!("hi")), "", "it answers `hello` with");
    check(kinds(json!([])), "", "it gives 0 kinds; expected 1 to 64");
    check(kinds(json!(["a", "a"])), "", "it gives the kind `a` twice");
    check(kinds(json!(["a.b"])), "", "`a.b` is no name for a kind");
    check(
        hello(json!({"version": 1, "name": "\u{1b}[2J", "release": "1", "kinds": ["say"]})),
        "",
        "its `name`: it has control characters in it",
    );
}

#[test]
fn what_writes_rubbish_or_ends_is_refused() {
    let first = |first: &[u8]| Script {
        first: first.to_vec(),
        ..Script::default()
    };
    let wrong =
        "it cannot be asked: it wrote to its standard output what is no answer of AMP, or too long";
    check(first(b"Hello, world!\n"), "", wrong);
    // Nobody has asked.
    check(first(&written(&[("_answer", b"9")])), "", wrong);
    let value = [b'a'; 65_000];
    let keys: Vec<String> = (0..4).map(|number| number.to_string()).collect();
    let pairs: Vec<(&str, &[u8])> = keys.iter().map(|key| (&**key, &value[..])).collect();
    check(first(&written(&pairs)), "", wrong);
    let dies = |at| Script {
        dies_at: Some((at, 3)),
        ..Script::default()
    };
    check(dies("hello"), "", "it cannot be asked: ");
    check(dies("describe"), "", "code 3");
    check(
        Script {
            stays: true,
            ..first(b"rubbish")
        },
        "stop = '1s'",
        wrong,
    );
    let host = Host::new(&[Script::default()]);
    let none = PluginSpec::parse(Path::new("a.toml"), b"command = 'absent'").unwrap();
    let failure = host
        .wait(ask(&host.reactor, &none), 1)
        .unwrap()
        .unwrap_err();
    assert!(failure.to_string().contains("`absent`"), "{failure}");
}

#[test]
fn what_does_not_end_is_ended() {
    let host = Host::new(&[Script {
        stays: true,
        ..Script::default()
    }]);
    let asked = ask(&host.reactor, &spec("stop = '3s'"));
    let told = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&told);
    asked
        .add_both(move |came| drop(kept.replace(Some(came))))
        .detach();
    host.run(5);
    assert!(told.borrow().is_none(), "it had 3 s, and 3 s after SIGTERM");
    host.run(3);
    assert!(told.take().unwrap().is_ok());
    assert_eq!(host.reactor.statistics().processes, 0);
}

#[test]
fn what_is_told_of_a_kind_is_held_against_the_rules() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Json), expected: &str) {
        let mut about = say();
        change(&mut about);
        let told = Told {
            name: String::new(),
            kinds: [("say".to_owned(), about)].into(),
        };
        let error = Registry::builtin()
            .register_plugin(spec(""), told)
            .unwrap_err();
        assert!(error.starts_with("it tells of its kind `say`: "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    check(|it| *it = json!(7), "it is no JSON object");
    check(
        |it| drop(it.as_object_mut().unwrap().remove("interface")),
        "it has no `interface`",
    );
    check(
        |it| it["interface"]["methods"] = json!([]),
        "`Sayer` has no methods",
    );
    check(
        |it| it["options"][0]["type"] = json!("bolean"),
        "option `twice`: unknown type `bolean`",
    );
    check(
        |it| it["options"][0]["name"] = json!("kind"),
        "option `kind` comes twice",
    );
    check(
        |it| it["options"][1]["name"] = json!("twice"),
        "option `twice` comes twice",
    );
    check(
        |it| it["options"][1]["name"] = json!("a b"),
        "an option is called `a b`",
    );
    check(
        |it| it["doc"] = json!("\u{7}"),
        "`doc`: it has control characters in it",
    );
    check(
        |it| it["interface"]["name"] = json!("Finger"),
        "`Finger` is an interface that tress knows, and its method `getUser(name: string) -> string?` is not there",
    );
    let told = Told {
        name: String::new(),
        kinds: [("memory".to_owned(), say())].into(),
    };
    let spec = PluginSpec::parse(Path::new("finger.toml"), b"command = 'plug'").unwrap();
    let error = Registry::builtin().register_plugin(spec, told).unwrap_err();
    assert_eq!(error, "this program has a kind `finger.memory` itself");
}

#[test]
fn its_file_is_held_against_the_table() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let problems = PluginSpec::parse(Path::new("p/a.toml"), text.as_bytes()).unwrap_err();
        assert_eq!(problems.to_string(), expected);
    }
    let all: Vec<&str> = PLUGIN_OPTIONS.iter().map(|option| option.name).collect();
    assert_eq!(all[0], "command");
    check(
        "",
        "p/a.toml: missing key `command`; expected a string or a list of strings",
    );
    check(
        "command = ['a']\nstopp = '1s'",
        &format!(
            "p/a.toml:2: stopp: unknown key `stopp`; expected one of `{}`; did you mean `stop`?",
            all.join("`, `")
        ),
    );
    check(
        "command = ''",
        "p/a.toml:1: command: the program's name is empty",
    );
    check(
        "command = 'a'\nhandshake = '0s'",
        "p/a.toml:2: handshake: expected more than nothing",
    );
    check(
        "command = 'a'\ncalls_in_flight = 0",
        "p/a.toml:2: calls_in_flight: expected more than nothing",
    );
    check(
        "command = 'a'\nanswer_bytes = '1KiB'",
        "p/a.toml:2: answer_bytes: expected at least 66KiB, found 1024",
    );
}

#[test]
fn an_object_is_made_with_its_options_called_and_forgotten() {
    let host = Host::new(&[Script::default()]);
    let mut one = host.provider("", "twice = true\nfile = 'x'");
    let object = one.object("Sayer").unwrap();
    assert!(one.object("Other").is_none());
    // It has not started yet: it waits.
    assert_eq!(host.says(&object, "say", Some("hi")), "String(\"hi\")");
    let log = host.log.take();
    let made = "make(say, it, {\"twice\":true,\"after\":2.0,\"file\":\"dir/x\"})";
    assert_eq!(log[2..], [made, "call(it, say, {\"text\":\"hi\"})"]);
    assert_eq!(
        host.says(&object, "say", Some("too long")),
        "bad-arguments: `Sayer.say`: `text`: expected at most 5, found 8 characters"
    );
    assert_eq!(
        host.says(&object, "say", None),
        "bad-arguments: `Sayer.say`: `text` is missing"
    );
    // It says a text where it told of a number.
    assert_eq!(
        host.says(&object, "count", None),
        "internal: internal error"
    );
    assert_eq!(
        *host.log.borrow(),
        ["call(it, count, {})"],
        "what is wrong is not asked"
    );
    assert_eq!(host.reactor.statistics().processes, 1);
    assert!(host.wait(one.stop(), 1).unwrap().is_ok());
    assert_eq!(host.reactor.statistics().processes, 0);
    assert_eq!(
        host.says(&object, "say", Some("hi")),
        "busy: the object cannot be reached"
    );
}

#[test]
fn one_child_has_all_objects_and_ends_with_the_last() {
    let host = Host::new(&[Script::default()]);
    let told = host.told();
    let mut registry = Registry::builtin();
    registry.register_plugin(spec(""), told).unwrap();
    let mut one = provider(&registry, &host.reactor, "plug.say", "");
    let mut other = provider(&registry, &host.reactor, "plug.say", "");
    host.run(1);
    assert_eq!(*host.starts.borrow(), 2, "one was asked, one runs");
    host.log.take();
    host.wait(one.stop(), 1).unwrap().unwrap();
    assert_eq!(*host.log.borrow(), ["forget(it)"]);
    let object = other.object("Sayer").unwrap();
    assert_eq!(host.says(&object, "say", Some("hi")), "String(\"hi\")");
    assert_eq!(host.log.borrow()[1], "call(it#2, say, {\"text\":\"hi\"})");
    host.wait(other.stop(), 1).unwrap().unwrap();
    assert_eq!(host.reactor.statistics().processes, 0);
}

/// Python's `subprocess` passes them on unless it is told not to.
#[test]
fn pipes_that_its_helpers_keep_hold_nothing_up() {
    let leaves = Script {
        leaves: true,
        ..Script::default()
    };
    let host = Host::new(std::slice::from_ref(&leaves));
    let asked = host.wait(ask(&host.reactor, &spec("")), 60);
    assert_eq!(asked.expect("an end").unwrap().kinds.len(), 1);
    assert_eq!(host.reactor.statistics().processes, 0);
    let host = Host::new(&[Script {
        dies_at: Some(("hello", 3)),
        ..leaves.clone()
    }]);
    let asked = host.wait(ask(&host.reactor, &spec("")), 60);
    assert!(asked.expect("an end").is_err());
    let dies = Script {
        dies_at: Some(("call", 9)),
        ..leaves
    };
    dies_and_starts_again(&dies, 12);
}

#[test]
fn calls_fail_when_it_dies_and_work_when_it_has_started_again() {
    let dies = Script {
        dies_at: Some(("call", 9)),
        ..Script::default()
    };
    dies_and_starts_again(&dies, 2);
}

fn dies_and_starts_again(dies: &Script, seconds: u64) {
    let dies = dies.clone();
    let host = Host::new(&[dies, Script::default()]);
    let provider = host.provider("", "");
    let object = provider.object("Sayer").unwrap();
    let ends = Rc::<RefCell<Vec<String>>>::default();
    for text in ["a", "b"] {
        let kept = Rc::clone(&ends);
        let called = host
            .call(&object, "say", Some(text))
            .add_both(move |called| {
                let fault = Fault::of(&called.unwrap_err());
                kept.borrow_mut().push(fault.code().to_owned());
            });
        called.detach();
    }
    let log = logged(|| host.run(seconds));
    assert_eq!(ends.take(), [fault::BUSY, fault::BUSY]);
    assert!(log.contains("it is started again in 100ms"), "{log}");
    assert_eq!(host.says(&object, "say", Some("c")), "String(\"c\")");
    assert_eq!(*host.starts.borrow(), 2);
    let log = host.log.borrow();
    let made = log
        .iter()
        .filter(|asked| asked.starts_with("make(say, it, "))
        .count();
    assert_eq!(made, 2, "{log:?}");
}

#[test]
fn a_call_that_waits_when_it_dies_is_told_so() {
    let host = Host::new(&[Script {
        dies_at: Some(("call", 9)),
        ..Script::default()
    }]);
    let provider = host.provider("", "");
    let object = provider.object("Sayer").unwrap();
    assert_eq!(
        host.says(&object, "say", Some("a")),
        "busy: the object cannot be reached"
    );
}

#[test]
fn what_dies_too_often_stays_down_until_a_reload() {
    let dies = Script {
        dies_at: Some(("hello", 1)),
        ..Script::default()
    };
    let mut scripts = vec![dies; 3];
    scripts.push(Script::default());
    let host = Host::new(&scripts);
    let mut provider = host.provider("restarts = 2", "");
    let log = logged(|| host.run(30));
    assert_eq!(*host.starts.borrow(), 3, "{log}");
    let words = "it stays down until the next reload, as it would be started again more often than 2 times within 60s (`restarts`)";
    assert!(log.contains(words), "{log}");
    let object = provider.object("Sayer").unwrap();
    assert_eq!(
        host.says(&object, "say", Some("a")),
        "busy: the object cannot be reached"
    );
    assert_eq!(*host.starts.borrow(), 3);
    provider.reload();
    assert_eq!(host.says(&object, "say", Some("a")), "String(\"a\")");
}

#[test]
fn what_tells_something_else_after_a_new_start_is_not_used() {
    let mut describe = say();
    describe["interface"]["methods"][0]["result"] = json!({"type": "integer"});
    let host = Host::new(&[
        Script {
            dies_at: Some(("call", 0)),
            ..Script::default()
        },
        Script {
            describe,
            ..Script::default()
        },
    ]);
    let provider = host.provider("restarts = 1", "");
    let object = provider.object("Sayer").unwrap();
    let log = logged(|| {
        host.says(&object, "say", Some("a"));
    });
    assert!(
        log.contains("it tells something else of its kind `say`"),
        "{log}"
    );
    assert_eq!(
        host.says(&object, "say", Some("a")),
        "busy: the object cannot be reached"
    );
    assert_eq!(*host.starts.borrow(), 2);
    assert_eq!(host.reactor.statistics().processes, 0);
}

#[test]
fn a_mute_child_costs_a_call_its_deadline() {
    let host = Host::new(&[Script {
        mute: true,
        ..Script::default()
    }]);
    let provider = host.provider("call_deadline = '3s'\ncalls_in_flight = 2", "");
    let object = provider.object("Sayer").unwrap();
    host.run(1);
    let (one, other) = (
        host.call(&object, "say", Some("a")),
        host.call(&object, "say", Some("b")),
    );
    let third = host.says(&object, "say", Some("c"));
    assert!(third.starts_with("busy: 2 calls wait"), "{third}");
    for called in [one, other] {
        let failure = host.wait(called, 1).expect("an end").unwrap_err();
        assert_eq!(Fault::of(&failure).code(), fault::DEADLINE);
    }
}

/// What says back any text is deaf when it is started first, and may rave then; the second time it is well.
fn deaf_at_first(raves: bool) -> (Host, Object) {
    let mut describe = say();
    describe["interface"]["methods"][0]["arguments"][0]["schema"] = json!({"type": "string"});
    let well = Script {
        describe: describe.clone(),
        ..Script::default()
    };
    let deaf = Script {
        deaf: true,
        raves,
        ..well.clone()
    };
    let host = Host::new(&[deaf, well]);
    let told = Told {
        name: String::new(),
        kinds: [("say".to_owned(), describe)].into(),
    };
    let mut registry = Registry::builtin();
    registry.register_plugin(spec(""), told).unwrap();
    let provider = provider(&registry, &host.reactor, "plug.say", "");
    let object = provider.object("Sayer").unwrap();
    (host, object)
}

#[test]
fn what_raves_and_reads_nothing_is_ended_at_once() {
    let (host, object) = deaf_at_first(true);
    // More than the pipe holds: what waits to be written must not keep it alive.
    let text = "a".repeat(60_000);
    for _ in 0..50 {
        host.call(&object, "say", Some(&text))
            .add_both(|_| ())
            .detach();
    }
    let log = logged(|| host.run(5));
    assert!(
        log.contains("what is no answer of AMP, or too long; it is started again"),
        "{log}"
    );
    assert_eq!(*host.starts.borrow(), 2);
}

#[test]
fn what_reads_nothing_costs_no_more_than_the_limit_of_output() {
    let (host, object) = deaf_at_first(false);
    host.run(1);
    let codes = Rc::<RefCell<Vec<String>>>::default();
    let text = "a".repeat(60_000);
    let most = host.reactor.limits().output_hard;
    for _ in 0..400 {
        let kept = Rc::clone(&codes);
        let called = host
            .call(&object, "say", Some(&text))
            .add_both(move |called| {
                let fault = Fault::of(&called.unwrap_err());
                kept.borrow_mut().push(fault.code().to_owned());
            });
        called.detach();
        assert!(host.reactor.statistics().queued_bytes <= most + text.len() * 2);
    }
    let log = logged(|| host.run(20));
    assert_eq!(codes.borrow().len(), 400);
    assert!(
        codes.borrow().iter().all(|code| code == fault::BUSY),
        "{codes:?}"
    );
    assert!(log.contains("it is started again in 100ms"), "{log}");
    assert_eq!(host.says(&object, "say", Some("hi")), "String(\"hi\")");
    let too_long = "a".repeat(70_000);
    let refused = host.says(&object, "say", Some(&too_long));
    assert!(
        refused.starts_with("too-large: `arguments` has more than the 65535 bytes"),
        "{refused}"
    );
}

#[test]
fn an_object_that_it_does_not_make_says_why() {
    let host = Host::new(&[Script {
        refuses: true,
        ..Script::default()
    }]);
    let provider = host.provider("", "");
    let object = provider.object("Sayer").unwrap();
    let log = logged(|| host.run(1));
    let words =
        "plug-in `plug` (plugins.d/plug.toml) does not make `it`: `bad-options: no such thing`";
    assert!(log.contains(words), "{log}");
    assert_eq!(
        host.says(&object, "say", Some("a")),
        "bad-options: no such thing"
    );
}

#[test]
fn its_errors_are_logged_in_lines_and_no_more_than_may_be() {
    let world = World::new(7);
    world.add_program("plug", || {
        |child: &mut ProgramHandle, event: ProgramEvent<'_>| match event {
            ProgramEvent::Started => {
                let many = "tick\n".repeat(50);
                let long = "a".repeat(5000);
                child.write(
                    2,
                    format!("one\ntwo \u{1b}[2J\n{long}\n{many}last").as_bytes(),
                );
            }
            ProgramEvent::Closed(0) => child.exit(0),
            _ => {}
        }
    });
    let reactor = Reactor::with(world.host("10.0.0.1"));
    let asked = ask(&reactor, &spec("log_lines = 5\nhandshake = '1s'"));
    asked.add_both(|_| ()).detach();
    let log = logged(|| world.run_for(Duration::from_secs(5), &[&reactor]).unwrap());
    assert!(log.contains("[plug] one\n"), "{log}");
    assert!(log.contains("[plug] two \\u{1b}[2J\n"), "{log}");
    assert!(
        log.contains(&format!("{} and 904 bytes more", "a".repeat(4096))),
        "{log}"
    );
    assert_eq!(log.matches("[plug] tick").count(), 2, "{log}");
    assert!(
        log.contains("[plug] wrote 48 lines more in a second than are logged (`log_lines`)"),
        "{log}"
    );
}

#[test]
fn an_interface_that_tress_knows_is_that_interface() {
    let text = json!({"type": ["string", "null"]});
    let describe = json!({"interface": {"name": "Finger", "methods": [
        {"name": "more"},
        {"name": "getUser", "arguments": [{"name": "name", "schema": {"type": "string"}}], "result": text},
        {"name": "getUsers", "result": {"type": "array", "items": {"type": "string"}}}]}});
    let host = Host::new(&[Script {
        describe,
        ..Script::default()
    }]);
    let told = host.told();
    let mut registry = Registry::builtin();
    registry.register_plugin(spec(""), told).unwrap();
    let kind = registry.provider("plug.say").unwrap();
    assert!(registry.protocols_of(kind).contains(&"finger"));
    let provider = provider(&registry, &host.reactor, "plug.say", "");
    let object = provider.object("Finger").unwrap();
    let finger = object.get::<dyn DynFinger>().unwrap();
    let finger = FingerClient::new(finger, CallContext::local(&host.reactor));
    let asked = host
        .reactor
        .spawn(async move { finger.user("zoe".to_owned()).await });
    assert_eq!(
        host.wait(asked, 5).unwrap().unwrap(),
        None,
        "it says no `text`"
    );
    let last = host.log.borrow().last().cloned();
    assert_eq!(
        last.as_deref(),
        Some("call(it, getUser, {\"name\":\"zoe\"})")
    );
}
