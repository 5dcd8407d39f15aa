//! Where `ssl:` and `tls:` listen, and with which certificates. Source: `_parseSSL` and `_TLSServerEndpointParser` of
//! Twisted's `internet/endpoints.py`. Must not know how a client connects.

use super::{Kind, Which, bad, path};
use crate::{
    identity::Identity,
    info::TlsVersion,
    server::{ServerConfig, ServerTls},
    trust::Trust,
};
use std::{path::Path, rc::Rc, time::SystemTime};
use tress_core::{Result, endpoint::EndpointSpec};

pub(super) const SSL_USAGE: &str = "ssl:PORT:certKey=FILE:privateKey=FILE[:extraCertChain=FILE][:caCerts=FILE-OR-DIRECTORY][:sslmethod=TLSv1_3_METHOD][:interface=ADDRESS][:backlog=COUNT][:reuse=0|1]";
pub(super) const TLS_USAGE: &str = "tls:DIRECTORY[:port=443][:caCerts=FILE-OR-DIRECTORY][:interface=ADDRESS][:backlog=COUNT][:reuse=0|1]";

/// What a port needs.
pub(super) struct Server {
    pub(super) tls: ServerTls,
    /// The `tcp:` endpoint below.
    pub(super) below: EndpointSpec,
}

impl Kind {
    pub(super) fn server(&self, now: SystemTime, spec: &EndpointSpec) -> Result<Server> {
        match self.which {
            Which::Ssl => self.ssl_server(now, spec),
            Which::Tls => self.tls_server(now, spec),
        }
    }

    fn ssl_server(&self, now: SystemTime, spec: &EndpointSpec) -> Result<Server> {
        if spec.option("dhParameters").is_some() {
            return Err(spec.problem(
                "`dhParameters` means nothing here: keys are agreed on with elliptic curves, which need no parameters",
            ));
        }
        let known = [
            "port",
            "certKey",
            "privateKey",
            "extraCertChain",
            "caCerts",
            "sslmethod",
            "interface",
            "backlog",
            "reuse",
        ];
        spec.only(1, &known, SSL_USAGE)?;
        let port = spec
            .named(0, "port")
            .ok_or_else(|| spec.problem("expected a port number"))?;
        // One file may hold both.
        let (certificate, key) = match (path(spec, "certKey"), path(spec, "privateKey")) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(both), None) | (None, Some(both)) => (both, both),
            (None, None) => {
                return Err(spec.problem(format!(
                    "expected `certKey` and `privateKey`, as in `{SSL_USAGE}`"
                )));
            }
        };
        let chain = path(spec, "extraCertChain");
        let identity = Identity::read(&*self.files, certificate, key, chain, now);
        let mut config = ServerConfig::new(identity.map_err(|error| bad(spec, &error))?);
        if let Some(method) = spec.option("sslmethod") {
            let (lowest, highest) = versions(spec, method)?;
            config = config.versions(lowest, highest);
        }
        self.finish(now, spec, port, config)
    }

    fn tls_server(&self, now: SystemTime, spec: &EndpointSpec) -> Result<Server> {
        let known = ["path", "port", "caCerts", "interface", "backlog", "reuse"];
        spec.only(2, &known, TLS_USAGE)?;
        let directory = spec
            .named(0, "path")
            .filter(|path| !path.is_empty())
            .ok_or_else(|| spec.problem("expected a directory of certificates and keys"))?;
        let port = spec.named(1, "port").unwrap_or("443");
        let config = ServerConfig::directory(Rc::clone(&self.files), Path::new(directory));
        self.finish(now, spec, port, config)
    }

    fn finish(
        &self,
        now: SystemTime,
        spec: &EndpointSpec,
        port: &str,
        mut config: ServerConfig,
    ) -> Result<Server> {
        if let Some(authorities) = path(spec, "caCerts") {
            let trust = Trust::read(&*self.files, authorities);
            config = config.require_client_certificates(trust.map_err(|error| bad(spec, &error))?);
        }
        let options = ["interface", "backlog", "reuse"]
            .into_iter()
            .filter_map(|name| {
                let value = spec.option(name)?;
                Some((name.to_owned(), value.to_owned()))
            });
        Ok(Server {
            tls: config.build(now).map_err(|error| bad(spec, &error))?,
            below: EndpointSpec {
                kind: "tcp".to_owned(),
                arguments: vec![port.to_owned()],
                options: options.collect(),
            },
        })
    }
}

/// The versions that an OpenSSL method stands for.
fn versions(spec: &EndpointSpec, method: &str) -> Result<(TlsVersion, TlsVersion)> {
    use TlsVersion::{V1_2, V1_3};
    match method.strip_suffix("_METHOD").unwrap_or(method) {
        "TLS" | "TLS_SERVER" | "SSLv23" => Ok((V1_2, V1_3)),
        "TLSv1_2" => Ok((V1_2, V1_2)),
        "TLSv1_3" => Ok((V1_3, V1_3)),
        _ => Err(spec.problem(format!(
            "`sslmethod={method}`: expected `TLS_METHOD`, `TLSv1_2_METHOD` or `TLSv1_3_METHOD`; older versions are not spoken"
        ))),
    }
}
