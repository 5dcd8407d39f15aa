//! Who reaches an endpoint, as far as its text says, and where the application itself may be served. Opens nothing.

use super::{load::Loader, serve::Callers};
use crate::{
    config::{ServeSection, Text},
    control::DynApplication,
};
use tress_core::endpoint::EndpointSpec;
use tress_rpc::Descriptor;

/// Who reaches an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Who runs the application, their group if the mode says so, or what has started it.
    Owner,
    /// Everybody on this machine.
    Machine,
    /// Others than this machine, through TLS: nobody in between sees what is said.
    Encrypted,
    /// Others than this machine, in the clear; or it cannot be told.
    Open,
}

impl Reach {
    pub(super) fn of(at: &str) -> Self {
        let Ok(mut spec) = EndpointSpec::parse(at) else {
            return Self::Owner; // what is wrong with it has been said
        };
        loop {
            let loopback = |spec: &EndpointSpec| {
                let address = spec.option("interface")?.parse::<std::net::IpAddr>().ok()?;
                address.is_loopback().then_some(())
            };
            return match &*spec.kind {
                "stdio" => Self::Owner,
                "unix" => of_socket(&spec),
                "tcp" | "tcp6" | "ssl" | "tls" if loopback(&spec).is_some() => Self::Machine,
                "ssl" | "tls" => Self::Encrypted,
                "tcp" | "tcp6" => Self::Open,
                _ => match spec.inner(&[]) {
                    Ok(inner) => {
                        spec = inner;
                        continue;
                    }
                    Err(_) => Self::Open,
                },
            };
        }
    }
}

/// Whoever may write to a UNIX socket may connect to it; one without a file has no mode.
fn of_socket(spec: &EndpointSpec) -> Reach {
    let mode = spec.option("mode").map(|mode| {
        let digits = mode.strip_prefix("0o").unwrap_or(mode);
        u32::from_str_radix(digits, 8)
    });
    match mode {
        Some(Ok(mode)) if mode & 0o002 == 0 => Reach::Owner,
        _ => Reach::Machine,
    }
}

impl Loader<'_> {
    /// Whoever reaches the application may stop it: so the file says who may, or only its owner reaches it.
    pub(super) fn guard(&mut self, section: &ServeSection, interface: &'static Descriptor) {
        if interface.name != <dyn DynApplication>::DESCRIPTOR.name {
            return;
        }
        let callers = Callers::of(section);
        let widest = section
            .endpoints
            .iter()
            .max_by_key(|at| Reach::of(&at.value));
        let Some(widest) = widest else { return };
        match (Reach::of(&widest.value), &callers.names, callers.anonymous) {
            (Reach::Encrypted | Reach::Open, _, Some(true)) => {
                let message = "the application itself is not for everybody where others than this machine reach it; expected \
                               `auth`, and no `anonymous = true`";
                self.problems.push(section.problem("anonymous", message));
            }
            (Reach::Machine, None, None | Some(false)) => self.unguarded(section, widest),
            _ => {}
        }
    }

    fn unguarded(&mut self, section: &ServeSection, at: &Text) {
        let expected = match EndpointSpec::parse(&at.value) {
            Ok(spec)
                if spec.kind == "unix"
                    && spec.option("mode").is_none()
                    && !at.value.contains('@') =>
            {
                format!("`{}:mode=600`", at.value)
            }
            _ => {
                "a UNIX socket that only its owner opens, such as `unix:/run/app.control:mode=600`"
                    .to_owned()
            }
        };
        let message = format!(
            "everybody on this machine reaches it and could stop the application; expected `auth`, `anonymous = true`, or \
             {expected}"
        );
        let problem = section.problem_at("at", at, message);
        self.problems.push(problem);
    }
}
