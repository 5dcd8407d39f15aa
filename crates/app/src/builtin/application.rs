//! `application` and `metrics`: the running application itself, as an object, and what is counted of it. What they do stand in `control` and `application`.

use super::every;
use crate::{
    control::{Control, DynApplication, DynMetrics},
    registry::{Exposure, Make, Provider, ProviderKind, Serves, Sharing},
};
use std::rc::Rc;
use tress_rpc::{Object, http::Dialect};

/// `kind = "application"`
pub(super) const KIND: ProviderKind = ProviderKind {
    name: "application",
    doc: "The running application itself: its services are listed, started, stopped, attached; its file is read again.",
    options: &[],
    interfaces: &[<dyn DynApplication>::DESCRIPTOR],
    make: |context, _| Ok(Box::new(Myself(context.application.clone()))),
    sharing: Sharing::Home(&[(<dyn DynApplication>::DESCRIPTOR, <dyn DynApplication>::TWIN)]),
};

/// `kind = "metrics"`
pub(super) const METRICS_KIND: ProviderKind = ProviderKind {
    name: "metrics",
    doc: "What is counted of the running application: connections, bytes, calls, turns of the loop.",
    options: &[],
    interfaces: &[<dyn DynMetrics>::DESCRIPTOR],
    make: |context, _| Ok(Box::new(Myself(context.application.clone()))),
    sharing: Sharing::Home(&[(<dyn DynMetrics>::DESCRIPTOR, <dyn DynMetrics>::TWIN)]),
};

/// `as = "metrics"`
pub(super) const METRICS: Exposure = Exposure {
    name: "metrics",
    serves: Serves::Interface(<dyn DynMetrics>::DESCRIPTOR),
    access: every::LOGINS,
    doc: "Over HTTP at /metrics, as Prometheus reads it.",
    options: every::METRICS_OPTIONS,
    make: Make::Http(Dialect::Metrics),
};

struct Myself(Control);

impl Provider for Myself {
    fn object(&self, interface: &str) -> Option<Object> {
        let control = Rc::new(self.0.clone());
        match interface {
            "Application" => Some(<dyn DynApplication>::object(control)),
            "Metrics" => Some(<dyn DynMetrics>::object(control)),
            _ => None,
        }
    }
}
