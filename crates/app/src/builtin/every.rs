//! The protocols for objects of every interface. The wires are in `tress-rpc`.

use crate::{
    config::{OptionSpec, Problem, ValueKind},
    registry::{Access, Exposure, Make, Serves, Serving},
};
use tress_core::{SharedFactory, limits::Unit};
use tress_rpc::{
    ExposureLimit,
    amp::AmpFactory,
    cred::{Portal, Sort},
    http::Dialect,
    jsonrpc::JsonRpcLines,
    line::LineFactory,
    pb::PbFactory,
};

/// A limit as a key.
const fn limit(limit: &ExposureLimit) -> OptionSpec {
    OptionSpec {
        name: limit.name,
        value: match limit.unit {
            Unit::Bytes => ValueKind::Size,
            Unit::Count => ValueKind::Count,
            Unit::Time => ValueKind::Duration,
        },
        required: false,
        default: limit.default,
        doc: limit.meaning,
    }
}

const REQUEST_BYTES: OptionSpec = limit(&ExposureLimit::REQUEST_BYTES);
const RESPONSE_BYTES: OptionSpec = limit(&ExposureLimit::RESPONSE_BYTES);
const NESTING: OptionSpec = limit(&ExposureLimit::NESTING);
const BATCH: OptionSpec = limit(&ExposureLimit::BATCH);
const CALLS_IN_FLIGHT: OptionSpec = limit(&ExposureLimit::CALLS_IN_FLIGHT);
const CALL_DEADLINE: OptionSpec = limit(&ExposureLimit::CALL_DEADLINE);
const LOGIN_ATTEMPTS: OptionSpec = limit(&ExposureLimit::LOGIN_ATTEMPTS);
const LOGIN_DEADLINE: OptionSpec = limit(&ExposureLimit::LOGIN_DEADLINE);
const LOGIN_DELAY: OptionSpec = limit(&ExposureLimit::LOGIN_DELAY);

/// Who logs in with a name and a password, or with a token.
pub(super) const LOGINS: Access = Access::Logins(&[Sort::Password, Sort::Token]);

/// `as = "amp"`
pub(super) const AMP: Exposure = Exposure {
    name: "amp",
    serves: Serves::Any(|interface| AmpFactory::check(interface).map_err(|why| why.to_string())),
    access: LOGINS,
    doc: "AMP, Twisted's protocol of commands: one for each method, with named arguments; with `auth`, callers send `Login`.",
    options: &[
        REQUEST_BYTES,
        RESPONSE_BYTES,
        NESTING,
        CALLS_IN_FLIGHT,
        CALL_DEADLINE,
        LOGIN_ATTEMPTS,
        LOGIN_DEADLINE,
        LOGIN_DELAY,
    ],
    make: Make::Factory(|serving| {
        let factory = AmpFactory::new(&serving.object, serving.limits);
        let factory = factory.and_then(|factory| match logins(serving) {
            Some(portal) => factory.portal(portal),
            None => Ok(factory),
        });
        factory
            .map(SharedFactory::new)
            .map_err(|why| refused(serving, &why))
    }),
};

/// `as = "jsonrpc-lines"`
pub(super) const JSON_RPC_LINES: Exposure = Exposure {
    name: "jsonrpc-lines",
    serves: Serves::Any(|_| Ok(())),
    access: LOGINS,
    doc: "JSON-RPC 2.0, a message a line; with `auth`, callers call `rpc.login`.",
    options: &[
        REQUEST_BYTES,
        RESPONSE_BYTES,
        NESTING,
        BATCH,
        CALLS_IN_FLIGHT,
        CALL_DEADLINE,
        LOGIN_ATTEMPTS,
        LOGIN_DEADLINE,
        LOGIN_DELAY,
    ],
    make: Make::Factory(|serving| {
        let factory = JsonRpcLines::new(&serving.object, serving.limits);
        Ok(SharedFactory::new(match logins(serving) {
            Some(portal) => factory.portal(portal),
            None => factory,
        }))
    }),
};

/// `as = "lines"`
pub(super) const LINES: Exposure = Exposure {
    name: "lines",
    serves: Serves::Any(|interface| LineFactory::check(interface).map_err(|why| why.to_string())),
    access: LOGINS,
    doc: "Lines for people: a method and its arguments in, the answer out; `help` tells the rest. With `auth`, `login` is first.",
    options: &[
        REQUEST_BYTES,
        RESPONSE_BYTES,
        CALLS_IN_FLIGHT,
        CALL_DEADLINE,
        LOGIN_ATTEMPTS,
        LOGIN_DEADLINE,
        LOGIN_DELAY,
    ],
    make: Make::Factory(|serving| {
        let factory = LineFactory::new(&serving.object, serving.limits);
        let factory = factory.and_then(|factory| match logins(serving) {
            Some(portal) => factory.portal(portal),
            None => Ok(factory),
        });
        factory
            .map(SharedFactory::new)
            .map_err(|why| refused(serving, &why))
    }),
};

/// `as = "pb"`
pub(super) const PB: Exposure = Exposure {
    name: "pb",
    serves: Serves::Any(|_| Ok(())),
    access: Access::Logins(&[Sort::Challenge]),
    doc: "Perspective Broker, Twisted's protocol of objects; with `auth`, callers log in by a challenge.",
    options: &[
        REQUEST_BYTES,
        RESPONSE_BYTES,
        NESTING,
        CALLS_IN_FLIGHT,
        CALL_DEADLINE,
    ],
    make: Make::Factory(|serving| {
        let (portal, object) = (serving.portal.clone(), &serving.object);
        Ok(SharedFactory::new(match portal.takes(Sort::Challenge) {
            true => PbFactory::with_portal(portal, object, serving.limits),
            false => PbFactory::new(object, serving.limits),
        }))
    }),
};

const HOSTS: OptionSpec = OptionSpec {
    name: "hosts",
    value: ValueKind::Strings,
    required: false,
    default: "",
    doc: "Names that requests may be for (`Host`), beside this machine's own address and its loopback names.",
};

const ORIGINS: OptionSpec = OptionSpec {
    name: "origins",
    value: ValueKind::Strings,
    required: false,
    default: "",
    doc: "Origins whose pages count as this server's own, such as `https://example.com` behind a proxy.",
};

/// The keys of metrics.
pub(super) const METRICS_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "path",
        value: ValueKind::String,
        required: false,
        default: "",
        doc: "Where they are read; by default `/metrics`.",
    },
    HOSTS,
    ORIGINS,
    RESPONSE_BYTES,
    CALL_DEADLINE,
    LOGIN_ATTEMPTS,
    LOGIN_DELAY,
];

/// The keys of what is served over HTTP.
const HTTP_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "path",
        value: ValueKind::String,
        required: false,
        default: "",
        doc: "What comes before the usual paths, such as `/quotes` before `/RPC2`; by default nothing.",
    },
    OptionSpec {
        name: "prefix",
        value: ValueKind::String,
        required: false,
        default: "",
        doc: "What comes before the names of the methods, `prefix.quote`, so that several objects can share a path.",
    },
    HOSTS,
    ORIGINS,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    NESTING,
    BATCH,
    CALLS_IN_FLIGHT,
    CALL_DEADLINE,
    LOGIN_ATTEMPTS,
    LOGIN_DELAY,
];

/// `as = "http"`
pub(super) const HTTP: Exposure = Exposure {
    name: "http",
    serves: Serves::Any(|_| Ok(())),
    access: LOGINS,
    doc: "HTTP and JSON: `POST /Interface/method`, an OpenAPI document at /openapi.json, and a page for people at /.",
    options: HTTP_OPTIONS,
    make: Make::Http(Dialect::Json),
};

/// `as = "jsonrpc"`
pub(super) const JSON_RPC: Exposure = Exposure {
    name: "jsonrpc",
    serves: Serves::Any(|_| Ok(())),
    access: LOGINS,
    doc: "JSON-RPC 2.0 over HTTP, at /jsonrpc.",
    options: HTTP_OPTIONS,
    make: Make::Http(Dialect::JsonRpc),
};

/// `as = "xmlrpc"`
pub(super) const XML_RPC: Exposure = Exposure {
    name: "xmlrpc",
    serves: Serves::Any(|_| Ok(())),
    access: LOGINS,
    doc: "XML-RPC, with introspection, at /RPC2.",
    options: HTTP_OPTIONS,
    make: Make::Http(Dialect::XmlRpc),
};

/// Whom logins ask, where there is anybody to log in as.
fn logins(serving: &Serving<'_>) -> Option<Portal> {
    let sorts = [Sort::Password, Sort::Token];
    let portal = Some(serving.portal.clone());
    portal.filter(|portal| sorts.iter().any(|sort| portal.takes(*sort)))
}

fn refused(serving: &Serving<'_>, why: &dyn std::fmt::Display) -> Problem {
    serving.options.problem("as", why.to_string())
}
