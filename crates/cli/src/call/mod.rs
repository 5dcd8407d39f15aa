//! `tress call`: calls one method of an object that somebody serves, over a protocol, and prints the result for people or
//! for programs. Knows no object.

mod answer;
mod carry;
mod interface;
mod lines;
mod words;

pub(crate) use answer::harmless;

use crate::{
    Ended, ctl,
    login::{self, Login},
};
use carry::{Call, NoCall};
use clap::{Arg, ArgAction, ArgMatches, builder::PossibleValuesParser};
use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};
use tress_app::{Registry, config};
use tress_core::{Failure, Reactor, endpoint::Side, error::TimedOut};
use tress_rpc::{BadCall, Fault, NoAnswer, Unsayable, Value};

const AFTER_HELP: &str = "\
An ARGUMENT is JSON or a word, by place or as NAME=VALUE. When this program knows an interface with such a method (see `tress \
plugins`), words become what the method takes; otherwise what is no JSON is a text.

  tress call lines tcp:127.0.0.1:8011 quotes 3
  tress call --json amp tcp:127.0.0.1:8010 sum a=2 b=3
  tress call --user moshez http tls:example.com:443 status

Ends with 0 when it was done, 1 when the object refused it or failed, 2 when the command line is wrong, and 3 when there is no \
answer: nobody is there, or speaks this protocol, or in time.";

/// What to call, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    protocol: String,
    at: String,
    method: String,
    words: Vec<String>,
    interface: Option<String>,
    untyped: bool,
    path: Option<String>,
    deadline: String,
    json: bool,
    login: Login,
}

pub(crate) fn grammar() -> clap::Command {
    clap::Command::new("call")
        .about("Call a method of an object that somebody serves, and print its result")
        .after_help(AFTER_HELP)
        .args([
            Arg::new("interface")
                .long("interface")
                .short('i')
                .value_name("NAME")
                .conflicts_with("untyped")
                .help("The interface that is called; by default the one of this program that has the method"),
            Arg::new("untyped")
                .long("untyped")
                .action(ArgAction::SetTrue)
                .help("Look no interface up: send what is written as it is"),
            Arg::new("path")
                .long("path")
                .value_name("PATH")
                .help("Over HTTP, the path of the object [default: /jsonrpc, /RPC2, for http /INTERFACE]"),
            Arg::new("deadline")
                .long("deadline")
                .value_name("DURATION")
                .default_value("30s")
                .help("How long all of it may take, such as 500ms or 2m"),
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print one line of JSON for programs: the result, or an `error` with its code and message"),
        ])
        .args(login::options())
        .args([
            Arg::new("PROTOCOL")
                .required(true)
                .value_parser(PossibleValuesParser::new(carry::PROTOCOLS))
                .help("What is spoken there"),
            Arg::new("ENDPOINT")
                .required(true)
                .help("Where it is, such as tcp:127.0.0.1:8010, tls:example.com:443 or unix:/run/quotes"),
            Arg::new("METHOD").required(true).help("What is called"),
            Arg::new("ARGUMENT")
                .num_args(0..)
                .allow_negative_numbers(true)
                .help("What it is called with"),
        ])
}

pub(crate) fn parse(matches: &ArgMatches) -> Arguments {
    let one = |name: &str| matches.get_one::<String>(name).cloned();
    let words = matches.get_many("ARGUMENT");
    Arguments {
        protocol: one("PROTOCOL").unwrap_or_default(),
        at: one("ENDPOINT").unwrap_or_default(),
        method: one("METHOD").unwrap_or_default(),
        words: words.map_or_else(Vec::new, |words| words.cloned().collect()),
        interface: one("interface"),
        untyped: matches.get_flag("untyped"),
        path: one("path"),
        deadline: one("deadline").unwrap_or_default(),
        json: matches.get_flag("json"),
        login: login::parse(matches),
    }
}

/// Calls, and prints the result.
pub(crate) fn run(arguments: &Arguments, registry: &Registry) -> Result<(), Ended> {
    let json = arguments.json;
    let value = ctl::told(json, call(arguments, registry))?;
    if json {
        return ctl::line(&value);
    }
    let mut text = answer::text(&value);
    if io::stdout().is_terminal() {
        text = harmless(&text);
    }
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn call(arguments: &Arguments, registry: &Registry) -> Result<Value, Ended> {
    let call = prepare(arguments, registry).map_err(ctl::wrong)?;
    let reactor = tress::reactor().map_err(Ended::NoReactor)?;
    registry.install_endpoints(&reactor);
    let checked = reactor.check_endpoint(&arguments.at, Side::Client);
    checked.map_err(ctl::wrong)?;
    make(&reactor, &arguments.at, call)
}

/// All that can be said without asking anybody.
fn prepare(arguments: &Arguments, registry: &Registry) -> Result<Call, String> {
    let deadline = config::parse_duration(&arguments.deadline)
        .and_then(|deadline| match deadline {
            Duration::ZERO => Err("expected more than 0s".to_owned()),
            deadline => Ok(deadline),
        })
        .map_err(|why| format!("--deadline: {why}"))?;
    let Arguments { protocol, path, .. } = arguments;
    if path.is_some() && !carry::has_paths(protocol) {
        return Err(format!(
            "--path is for protocols over HTTP; `{protocol}` has no paths"
        ));
    }
    let method = &arguments.method;
    let known = match arguments.untyped {
        true => None,
        false => interface::of(registry, arguments.interface.as_deref(), method)?,
    };
    let words = words::arguments(known.map(|(_, method)| method), &arguments.words)?;
    carry::check(protocol, known.is_some(), path.is_some(), &words, method)?;
    let descriptor = match known {
        Some((descriptor, _)) => descriptor,
        None => interface::made_up(method, &words),
    };
    Ok(Call {
        protocol: protocol.clone(),
        descriptor,
        typed: known.is_some(),
        method: method.clone(),
        arguments: words,
        path: path.clone(),
        credentials: arguments.login.credentials(registry)?,
        deadline,
    })
}

fn make(reactor: &Reactor, at: &str, call: Call) -> Result<Value, Ended> {
    let deadline = call.deadline;
    let (asked, at_owned) = (reactor.clone(), at.to_owned());
    let called = reactor.spawn(async move { carry::carry(&asked, &at_owned, call).await });
    let called = called.add_timeout(reactor, deadline);
    reactor
        .run_until(called)
        .map_err(|failure| ended(&failure, at, deadline))
}

/// Who is to blame, as the exit code says it.
fn ended(failure: &Failure, at: &str, deadline: Duration) -> Ended {
    if failure.check::<TimedOut>().is_some() || failure.check::<NoAnswer>().is_some() {
        let within = config::written(
            u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            config::Unit::Time,
        );
        return ctl::unreachable(format_args!("no answer from {at} within {within}"));
    }
    if failure.check::<Fault>().is_some() || failure.check::<BadCall>().is_some() {
        return Ended::Ctl(ctl::SAID_NO, Fault::of(failure));
    }
    if failure.check::<Unsayable>().is_some() || failure.check::<NoCall>().is_some() {
        return ctl::wrong(failure);
    }
    ctl::unreachable(format_args!("no answer from {at}: {failure}"))
}
