//! `tress ctl`: asks a running application, over the socket that its file names, and prints the answer for people or for
//! programs. Knows no service.

use crate::{
    Ended,
    login::{self, Login},
    table,
};
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use serde::Serialize;
use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, SystemTime},
};
use tress_app::{
    Registry,
    config::{self, Config, MAX_FILE_BYTES, Problems, ServeSection},
    control::{DynApplication, LimitStatus, Reloaded, ServiceStatus, Statistics, Upgraded},
};
use tress_core::{
    Failure, Limits, Reactor, Result,
    endpoint::{EndpointSpec, quote},
};
use tress_rpc::{
    CallContext, Client, ExposureLimits, Fault, cred::Credentials, jsonrpc::connect_json_rpc,
};

/// The application could not be reached.
const UNREACHABLE: u8 = 3;
/// It said no.
pub(crate) const SAID_NO: u8 = 1;
/// There is nothing to ask.
const WRONG: u8 = 2;

const EXIT_CODES: &str = "\
Ends with 0 when it was done, 1 when the application refused it or could not do it, 2 when the command line or the file is \
wrong, and 3 when the application cannot be reached: it does not run, or has no [control] section.";

/// What to ask, and whom.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    file: PathBuf,
    at: Option<String>,
    json: bool,
    login: Login,
    question: Question,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    List,
    Start(String),
    Stop(String),
    /// The words of the command line.
    Attach(Vec<String>),
    Detach(String),
    Reload,
    Upgrade(Option<PathBuf>),
    Limits,
    Statistics,
    Log(Option<String>),
}

pub(crate) fn grammar() -> clap::Command {
    let name = || {
        Arg::new("NAME")
            .required(true)
            .help("The service, as `list` shows it")
    };
    let command = |name: &'static str, about: &'static str| clap::Command::new(name).about(about);
    clap::Command::new("ctl")
        .about("Ask a running application, or change it")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg(
            Arg::new("file")
                .long("file")
                .short('f')
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .default_value("tress.toml")
                .help("The application's TOML file, whose [control] section says where it is asked"),
        )
        .arg(
            Arg::new("at")
                .long("at")
                .value_name("ENDPOINT")
                .help("Where it is asked, such as unix:/run/app.control; then no file is read"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .global(true)
                .help("Print one line of JSON for programs: the answer, or an `error` with its code and message"),
        )
        .args(login::options())
        .subcommands([
            command("list", "Every service: its name, whether it runs, and where"),
            command("start", "Start a service that was stopped").arg(name()),
            command("stop", "Stop a service: it listens no more, and its connections end").arg(name()),
            command("attach", "Add a service, until it is detached or the file is read again").arg(
                Arg::new("SERVE")
                    .required(true)
                    .num_args(1..)
                    .help("KEY=VALUE of a [[serve]] section, a key several times for a list; or such sections in TOML; or - to read them"),
            ),
            command("detach", "Stop a service and forget it, until the file is read again").arg(name()),
            command("reload", "Read the file again, as SIGHUP does: only what has changed restarts"),
            command("upgrade", "Start the program anew and have it take over all sockets, as SIGUSR2 does: nobody is lost").arg(
                Arg::new("binary")
                    .long("binary")
                    .value_name("PATH")
                    .value_parser(value_parser!(PathBuf))
                    .help("The program to start; by default what is now at the path from which the application was started"),
            ),
            command("limits", "Every limit, and where it was set"),
            command("statistics", "What has come and gone, for each service"),
            command("log", "Show or change what is logged")
                .arg(Arg::new("LEVEL").help("LEVEL or MODULE=LEVEL, such as debug or tress=trace")),
        ])
}

pub(crate) fn parse(matches: &ArgMatches) -> Arguments {
    let name = |matches: &ArgMatches| matches.get_one("NAME").cloned().unwrap_or_default();
    let question = match matches.subcommand() {
        Some(("list", _)) => Question::List,
        Some(("start", matches)) => Question::Start(name(matches)),
        Some(("stop", matches)) => Question::Stop(name(matches)),
        Some(("attach", matches)) => {
            let words = matches.get_many("SERVE");
            Question::Attach(words.map_or_else(Vec::new, |words| words.cloned().collect()))
        }
        Some(("detach", matches)) => Question::Detach(name(matches)),
        Some(("reload", _)) => Question::Reload,
        Some(("upgrade", matches)) => Question::Upgrade(matches.get_one("binary").cloned()),
        Some(("limits", _)) => Question::Limits,
        Some(("statistics", _)) => Question::Statistics,
        Some(("log", matches)) => Question::Log(matches.get_one("LEVEL").cloned()),
        other => unreachable!("the grammar has no {other:?}"),
    };
    Arguments {
        file: matches.get_one("file").cloned().unwrap_or_default(),
        at: matches.get_one("at").cloned(),
        json: matches.get_flag("json"),
        login: login::parse(matches),
        question,
    }
}

/// Asks, and prints the answer.
pub(crate) fn run(arguments: &Arguments, registry: &Registry) -> Result<(), Ended> {
    let json = arguments.json;
    let asked = prepare(arguments).and_then(|(at, question)| {
        let credentials = arguments.login.credentials(registry).map_err(wrong)?;
        let reactor = tress::reactor().map_err(Ended::NoReactor)?;
        registry.install_endpoints(&reactor);
        ask(&reactor, &at, credentials, question)
    });
    let answer = told(json, asked)?;
    if json {
        return answer.json();
    }
    let now = tress::reactor().map_err(Ended::NoReactor)?.wall();
    io::stdout().write_all(answer.text(now).as_bytes())?;
    Ok(())
}

/// What was not to be is printed as JSON, where JSON was asked for.
pub(crate) fn told<T>(json: bool, asked: Result<T, Ended>) -> Result<T, Ended> {
    match asked {
        Err(Ended::Ctl(code, fault)) if json => {
            let error = Error {
                code: fault.code(),
                message: fault.message(),
            };
            line(&serde_json::json!({ "error": error }))?;
            Err(Ended::Said(code))
        }
        asked => asked,
    }
}

#[derive(Serialize)]
struct Error<'f> {
    code: &'f str,
    message: &'f str,
}

/// Whom to ask, and what.
fn prepare(arguments: &Arguments) -> Result<(String, Question), Ended> {
    let mut question = arguments.question.clone();
    if let Question::Attach(words) = &mut question {
        *words = vec![sections(words)?];
    }
    if let Question::Upgrade(Some(binary)) = &mut question {
        // The application may be in another directory.
        *binary = std::path::absolute(&*binary).map_err(wrong)?;
    }
    let at = match &arguments.at {
        Some(at) => at.clone(),
        None => place(&arguments.file)?,
    };
    Ok((at, question))
}

pub(crate) fn wrong(message: impl std::fmt::Display) -> Ended {
    Ended::Ctl(WRONG, Fault::new("wrong", message))
}

pub(crate) fn unreachable(message: impl std::fmt::Display) -> Ended {
    Ended::Ctl(UNREACHABLE, Fault::new("unreachable", message))
}

/// Where the application of this file is asked.
fn place(file: &Path) -> Result<String, Ended> {
    let shown = file.display();
    let bytes = config::read_file(file)
        .map_err(|error| wrong(format_args!("{shown}: cannot read the file: {error}")))?;
    // What else is wrong with it is no matter here: the application runs.
    let mut problems = Problems::new(file.to_string_lossy());
    let config = Config::read(&bytes, &mut problems);
    let Some(ServeSection { endpoints, .. }) = config.control else {
        return Err(unreachable(format_args!(
            "{shown} has no [control] section: put one there and start the application anew, or say where it is served as \
             `jsonrpc-lines` with --at"
        )));
    };
    let place = endpoints.iter().find_map(|at| other_side(&at.value));
    place.ok_or_else(|| {
        wrong(format_args!(
            "{shown}: cannot tell how to reach the endpoint of [control]; say it with --at"
        ))
    })
}

/// The endpoint to connect to for one that is listened at.
fn other_side(at: &str) -> Option<String> {
    let spec = EndpointSpec::parse(at).ok()?;
    match &*spec.kind {
        "unix" => Some(format!("unix:{}", quote(spec.named(0, "address")?))),
        "tcp" => {
            let port = spec.named(0, "port")?;
            let host = spec.option("interface").unwrap_or("127.0.0.1");
            let host = if host == "0.0.0.0" { "127.0.0.1" } else { host };
            Some(format!("tcp:{}:{port}", quote(host)))
        }
        _ => None,
    }
}

/// The words of `attach` as TOML.
fn sections(words: &[String]) -> Result<String, Ended> {
    if let [only] = words
        && (only == "-" || only.contains("[["))
    {
        if only != "-" {
            return Ok(only.clone());
        }
        let mut text = String::new();
        let most = MAX_FILE_BYTES as u64 + 1;
        io::stdin()
            .take(most)
            .read_to_string(&mut text)
            .map_err(|error| wrong(format_args!("cannot read: {error}")))?;
        return Ok(text);
    }
    let mut keys: Vec<(&str, Vec<String>)> = Vec::new();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err(wrong(format_args!(
                "`{word}`: expected KEY=VALUE, such as at=tcp:8079, or [[serve]] sections in TOML"
            )));
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if key.is_empty() || !key.chars().all(plain) {
            return Err(wrong(format_args!(
                "`{word}`: expected KEY=VALUE, such as at=tcp:8079"
            )));
        }
        match keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(literal(value)),
            None => keys.push((key, vec![literal(value)])),
        }
    }
    let mut text = "[[serve]]\n".to_owned();
    for (key, values) in keys {
        let value = match &values[..] {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        text.push_str(&format!("{key} = {value}\n"));
    }
    Ok(text)
}

/// A value as TOML has it: what is none of its own is a string.
fn literal(value: &str) -> String {
    let number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if number || matches!(value, "true" | "false") || value.starts_with(['[', '"', '\'']) {
        return value.to_owned();
    }
    let mut text = "\"".to_owned();
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text + "\""
}

/// What the application said.
enum Answer {
    List(Vec<ServiceStatus>),
    Word(String),
    Names(Vec<String>),
    Done(String),
    Reloaded(Reloaded),
    Upgraded(Upgraded),
    Limits(Vec<LimitStatus>),
    Statistics(Statistics),
}

fn ask(
    reactor: &Reactor,
    at: &str,
    credentials: Option<Credentials>,
    question: Question,
) -> Result<Answer, Ended> {
    let descriptor = <dyn DynApplication>::DESCRIPTOR;
    let connected = connect_json_rpc(reactor, at, descriptor, ExposureLimits::default());
    let (context, asked) = (CallContext::local(reactor), reactor.clone());
    let answered = reactor.spawn(async move {
        let client = connected.await?;
        if let Some(credentials) = credentials {
            client.login(&context, credentials).await?;
        }
        let object = <dyn DynApplication>::TWIN(Client::new(client));
        let application = object.get::<dyn DynApplication>()?;
        put(application, &context, question).await
    });
    let answer = asked.run_until(answered);
    answer.map_err(|failure: Failure| match failure.check::<Fault>() {
        Some(fault) => Ended::Ctl(SAID_NO, fault.clone()),
        None => unreachable(format_args!(
            "cannot reach the application at {at}: {failure}"
        )),
    })
}

async fn put(
    application: Rc<dyn DynApplication>,
    context: &CallContext,
    question: Question,
) -> Result<Answer> {
    Ok(match question {
        Question::List => Answer::List(application.list(context).await?),
        Question::Start(name) => Answer::Word(application.start(context, name).await?),
        Question::Stop(name) => Answer::Word(application.stop(context, name).await?),
        Question::Attach(text) => Answer::Names(application.attach(context, text.concat()).await?),
        Question::Detach(name) => {
            application.detach(context, name).await?;
            Answer::Done("detached".to_owned())
        }
        Question::Reload => Answer::Reloaded(application.reload(context).await?),
        Question::Upgrade(binary) => {
            let binary = binary.map(|path| path.to_string_lossy().into_owned());
            Answer::Upgraded(application.upgrade(context, binary).await?)
        }
        Question::Limits => Answer::Limits(application.limits(context).await?),
        Question::Statistics => Answer::Statistics(application.statistics(context).await?),
        Question::Log(level) => Answer::Word(application.log_level(context, level).await?),
    })
}

pub(crate) fn line(value: &impl Serialize) -> Result<(), Ended> {
    let text = serde_json::to_string(value).map_err(io::Error::from)?;
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}

impl Answer {
    fn json(&self) -> Result<(), Ended> {
        match self {
            Self::List(answer) => line(answer),
            Self::Word(answer) => line(answer),
            Self::Names(answer) => line(answer),
            Self::Done(_) => line(&()),
            Self::Reloaded(answer) => line(answer),
            Self::Upgraded(answer) => line(answer),
            Self::Limits(answer) => line(answer),
            Self::Statistics(answer) => line(answer),
        }
    }

    fn text(&self, now: SystemTime) -> String {
        match self {
            Self::List(services) => list(services, now),
            Self::Word(word) | Self::Done(word) => format!("{word}\n"),
            Self::Names(names) => names
                .iter()
                .map(|name| format!("attached {name}\n"))
                .collect(),
            Self::Reloaded(done) => reloaded(done),
            Self::Upgraded(done) => format!("process {} has taken over\n", done.process),
            Self::Limits(limits) => table_of_limits(limits),
            Self::Statistics(statistics) => figures(statistics, now),
        }
    }
}

fn list(services: &[ServiceStatus], now: SystemTime) -> String {
    let head = ["service", "state", "for", "what", "as", "at"].map(str::to_owned);
    let rows = services.iter().map(|service| {
        let attached = if service.attached { " (attached)" } else { "" };
        [
            service.name.clone(),
            service.state.clone(),
            age(service.since, now),
            service.what.clone(),
            service.protocols.join(", "),
            service.at.join(", ") + attached,
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table::columns("", &rows)
}

fn reloaded(done: &Reloaded) -> String {
    let lines = [
        ("started", &done.started),
        ("restarted", &done.restarted),
        ("stopped", &done.stopped),
        ("kept", &done.kept),
    ];
    let lines = lines.iter().filter(|(_, names)| !names.is_empty());
    let lines: Vec<_> = lines
        .map(|(verb, names)| [(*verb).to_owned(), names.join(", ")])
        .collect();
    table::columns("", &lines)
}

fn table_of_limits(limits: &[LimitStatus]) -> String {
    let head = ["limit", "value", "unit", "set"].map(str::to_owned);
    let rows = limits.iter().map(|limit| {
        let known = Limits::find(&limit.name);
        [
            limit.name.clone(),
            known.map_or_else(
                || limit.value.to_string(),
                |known| table::amount(known.unit, limit.value),
            ),
            limit.unit.clone(),
            limit.set.clone(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table::columns("", &rows)
}

fn figures(statistics: &Statistics, now: SystemTime) -> String {
    let mut text = format!(
        "{} has run for {}: {} connections, {} bytes waiting, {} reloads, {} failures, {} stalls\n\n",
        statistics.application,
        age(statistics.since, now),
        statistics.connections,
        statistics.queued_bytes,
        statistics.reloads,
        statistics.failures,
        statistics.stalls,
    );
    let head = [
        "service", "state", "for", "restarts", "open", "accepted", "refused", "received", "sent",
    ];
    let rows = statistics.services.iter().map(|service| {
        [
            service.name.clone(),
            service.state.clone(),
            age(service.since, now),
            service.restarts.to_string(),
            service.connections.to_string(),
            service.accepted.to_string(),
            service.refused.to_string(),
            service.received.to_string(),
            service.sent.to_string(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    text.push_str(&table::columns("", &rows));
    text
}

/// How long ago that was, in its two largest units.
fn age(since: u64, now: SystemTime) -> String {
    let since = SystemTime::UNIX_EPOCH + Duration::from_secs(since);
    let seconds = now.duration_since(since).map_or(0, |age| age.as_secs());
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_a_section() {
        let check = |words: &[&str], expected: Result<&str, &str>| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let found = sections(&words).map_err(|ended| match ended {
                Ended::Ctl(_, fault) => fault.message().to_owned(),
                _ => String::new(),
            });
            assert_eq!(
                found.as_deref().map_err(|error| &**error),
                expected,
                "{words:?}"
            );
        };
        check(
            &[
                "what=users",
                "as=http",
                "as=jsonrpc",
                "at=tcp:0:interface=127.0.0.1",
                "anonymous=true",
                "port=7",
            ],
            Ok(
                "[[serve]]\nwhat = \"users\"\nas = [\"http\", \"jsonrpc\"]\nat = \"tcp:0:interface=127.0.0.1\"\n\
                anonymous = true\nport = 7\n",
            ),
        );
        check(
            &["as=['a', 'b']", "x='y'"],
            Ok("[[serve]]\nas = ['a', 'b']\nx = 'y'\n"),
        );
        check(
            &["x=a\"b\\c\nd"],
            Ok("[[serve]]\nx = \"a\\\"b\\\\c\\u000Ad\"\n"),
        );
        check(&["[[serve]]\nwhat = 'a'"], Ok("[[serve]]\nwhat = 'a'"));
        check(&["x=]\n[app]"], Ok("[[serve]]\nx = \"]\\u000A[app]\"\n"));
        check(
            &["users"],
            Err("`users`: expected KEY=VALUE, such as at=tcp:8079, or [[serve]] sections in TOML"),
        );
        check(
            &["a b=c"],
            Err("`a b=c`: expected KEY=VALUE, such as at=tcp:8079"),
        );
    }

    #[test]
    fn an_endpoint_has_another_side() {
        for (at, expected) in [
            ("unix:/run/x.control:mode=600", Some("unix:/run/x.control")),
            ("unix:/run/a\\:b:lockfile=0", Some("unix:/run/a\\:b")),
            ("unix:@name", Some("unix:@name")),
            ("tcp:80:interface=127.0.0.1", Some("tcp:127.0.0.1:80")),
            ("tcp:80", Some("tcp:127.0.0.1:80")),
            ("ssl:80", None),
            ("systemd:domain=UNIX:index=0", None),
        ] {
            assert_eq!(other_side(at).as_deref(), expected, "{at}");
        }
    }

    #[test]
    fn ages() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (ago, expected) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m1s"),
            (3_661, "1h1m"),
            (90_000, "1d1h"),
        ] {
            assert_eq!(age(1_000_000 - ago, now), expected);
        }
        assert_eq!(age(1_000_001, now), "0s", "clocks differ");
    }
}
