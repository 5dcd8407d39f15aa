//! Who may ask: the host that is meant, the page that asks, the credentials. Reads headers only.
//!
//! A web page may make a browser send requests to servers on its user's own machine. Three checks keep it from driving
//! one of ours: `Host` must be a name of this server (a page whose own name now resolves to 127.0.0.1 sends its own);
//! `Origin`, which browsers send with every `POST`, must be this server; and the content type must be one that a page
//! cannot send without asking first, which is never allowed.

use super::answer::Refusal;
use crate::cred::Credentials;
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    Request, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    http::uri::Authority,
};
use std::net::IpAddr;
use tress_core::{Address, wording::quoted};

/// The credentials of a request: HTTP Basic (RFC 7617) or a bearer token (RFC 6750). Those that cannot be read are wrong
/// ones.
pub(super) fn credentials(headers: &HeaderMap) -> Result<Credentials, Refusal> {
    let Some(value) = one(headers, &header::AUTHORIZATION)? else {
        return Ok(Credentials::Anonymous);
    };
    let read = value.split_once(' ').and_then(|(scheme, rest)| {
        let rest = rest.trim_matches(' ');
        if scheme.eq_ignore_ascii_case("Bearer") {
            return Some(Credentials::Token(rest.to_owned()));
        }
        let is_basic = scheme.eq_ignore_ascii_case("Basic");
        let decoded = is_basic.then(|| STANDARD.decode(rest).ok()).flatten()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    });
    read.ok_or_else(unauthorized)
}

/// That somebody has to log in first.
pub(super) fn unauthorized() -> Refusal {
    let message = "log in with a name and a password, or with a token";
    let code = crate::fault::UNAUTHORIZED;
    let refusal = Refusal::new(StatusCode::UNAUTHORIZED, code, message);
    let offers = [
        "Basic realm=\"tress\", charset=\"UTF-8\"",
        "Bearer realm=\"tress\"",
    ];
    offers.into_iter().fold(refusal, |refusal, offer| {
        refusal.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(offer))
    })
}

/// Which hosts and which pages are let in, beside this server itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    /// Names, with a port or for any, in lower case.
    pub(super) hosts: Vec<String>,
    /// As `Origin` has them, in lower case.
    pub(super) origins: Vec<String>,
}

impl Allowed {
    /// Whether a request may go on, which came to this address of ours.
    pub(super) fn check<B>(&self, request: &Request<B>, here: &Address) -> Result<(), Refusal> {
        let headers = request.headers();
        let Some(host) = one(headers, &header::HOST)? else {
            return Err(Refusal::bad_request("the request has no `Host`"));
        };
        let host = host.to_ascii_lowercase();
        let target = request.uri().authority();
        let target = target.map(|target| target.as_str().to_ascii_lowercase());
        for host in [Some(&host), target.as_ref()].into_iter().flatten() {
            if !self.is_ours(host, here) {
                let message = format!("no {} is served here", quoted(host));
                return Err(Refusal::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "wrong-host",
                    message,
                ));
            }
        }
        let Some(origin) = one(headers, &header::ORIGIN)? else {
            return Ok(());
        };
        let origin = origin.to_ascii_lowercase();
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        if authority == Some(&host) || self.origins.contains(&origin) {
            return Ok(());
        }
        let message = format!("pages of {} may not call this server", quoted(&origin));
        Err(Refusal::new(StatusCode::FORBIDDEN, "wrong-origin", message))
    }

    /// Whether a host, with its port, is this server.
    fn is_ours(&self, host: &str, here: &Address) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        if host.contains('@') {
            return false;
        }
        let name = authority.host();
        let plain = name.trim_start_matches('[').trim_end_matches(']');
        let known = match plain.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(ip) => ip.is_loopback() || here.ip().is_some_and(|own| own.to_canonical() == ip),
            Err(_) => name == "localhost",
        };
        known || self.hosts.iter().any(|own| own == host || own == name)
    }
}

/// That the body is of one of these types, in UTF-8 and not compressed.
pub(super) fn check_content(headers: &HeaderMap, types: &[&str]) -> Result<(), Refusal> {
    let unsupported = |found: &str| {
        let expected = types.join("` or `");
        let message = format!("expected a body of the type `{expected}`, found {found}");
        Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-type",
            message,
        )
    };
    let Some(value) = one(headers, &header::CONTENT_TYPE)? else {
        return Err(unsupported("none"));
    };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_expected = types.iter().any(|it| it.eq_ignore_ascii_case(essence));
    let mut charsets = parts.filter_map(|parameter| {
        let (name, charset) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| charset.trim().trim_matches('"'))
    });
    let is_utf8 = charsets.all(|charset| charset.eq_ignore_ascii_case("utf-8"));
    if !is_expected || !is_utf8 {
        return Err(unsupported(&quoted(value)));
    }
    match one(headers, &header::CONTENT_ENCODING)? {
        None => Ok(()),
        Some(identity) if identity.eq_ignore_ascii_case("identity") => Ok(()),
        Some(encoding) => Err(unsupported(&format!("it encoded as {}", quoted(encoding)))),
    }
}

/// The only value of a header.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::bad_request(format!("`{name}` is given twice")));
    }
    let value = value.to_str();
    value
        .map(Some)
        .map_err(|_| Refusal::bad_request(format!("`{name}` is no text")))
}
