//! The protocols for objects of every interface. The wires are in `tress-rpc`.

use crate::{
    config::Problem,
    registry::{Access, Exposure, Serves, Serving},
};
use tress_core::SharedFactory;
use tress_rpc::{
    amp::AmpFactory,
    cred::{Credentials, Sort},
    jsonrpc::JsonRpcLines,
    line::LineFactory,
    pb::{PbCredentials, PbFactory},
};

/// `as = "amp"`
pub(super) const AMP: Exposure = Exposure {
    name: "amp",
    serves: Serves::Any(|interface| AmpFactory::check(interface).map_err(|why| why.to_string())),
    access: Access::Logins(&[]),
    doc: "AMP, Twisted's protocol of commands: one for each method, with named arguments.",
    options: &[],
    make: |serving| {
        let factory = AmpFactory::new(&serving.object, serving.limits);
        factory
            .map(SharedFactory::new)
            .map_err(|why| refused(serving, &why))
    },
};

/// `as = "jsonrpc-lines"`
pub(super) const JSON_RPC_LINES: Exposure = Exposure {
    name: "jsonrpc-lines",
    serves: Serves::Any(|_| Ok(())),
    access: Access::Logins(&[]),
    doc: "JSON-RPC 2.0, a message a line.",
    options: &[],
    make: |serving| {
        let factory = JsonRpcLines::new(&serving.object, serving.limits);
        Ok(SharedFactory::new(factory))
    },
};

/// `as = "lines"`
pub(super) const LINES: Exposure = Exposure {
    name: "lines",
    serves: Serves::Any(|interface| LineFactory::check(interface).map_err(|why| why.to_string())),
    access: Access::Logins(&[]),
    doc: "Lines for people: a method and its arguments in, the answer out; `help` tells the rest.",
    options: &[],
    make: |serving| {
        let factory = LineFactory::new(&serving.object, serving.limits);
        factory
            .map(SharedFactory::new)
            .map_err(|why| refused(serving, &why))
    },
};

/// `as = "pb"`
pub(super) const PB: Exposure = Exposure {
    name: "pb",
    serves: Serves::Any(|_| Ok(())),
    access: Access::Logins(&[Sort::Challenge]),
    doc: "Perspective Broker, Twisted's protocol of objects; with `auth`, callers log in by a challenge.",
    options: &[],
    make: |serving| {
        let factory = PbFactory::new(&serving.object, serving.limits);
        if !serving.portal.takes(Sort::Challenge) {
            return Ok(SharedFactory::new(factory));
        }
        let portal = serving.portal.clone();
        Ok(SharedFactory::new(factory.login(move |context, shown| {
            let credentials = match shown {
                PbCredentials::Anonymous => Credentials::Anonymous,
                PbCredentials::Response(response) => Credentials::Challenge {
                    user: response.user().to_owned(),
                    answers: std::rc::Rc::new(move |password| response.is(password.as_bytes())),
                },
            };
            let login = portal.login(&context.reactor, credentials);
            login.map(|avatar| avatar.unwrap_or_else(|| "anonymous".into()))
        })))
    },
};

fn refused(serving: &Serving<'_>, why: &dyn std::fmt::Display) -> Problem {
    serving.options.problem("as", why.to_string())
}
