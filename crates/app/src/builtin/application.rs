//! `application`: the running application itself, as an object. What it does stands in `control` and `application`.

use crate::{
    control::{Control, DynApplication},
    registry::{Provider, ProviderKind, Sharing},
};
use std::rc::Rc;
use tress_rpc::Object;

/// `kind = "application"`
pub(super) const KIND: ProviderKind = ProviderKind {
    name: "application",
    doc: "The running application itself: its services are listed, started, stopped, attached; its file is read again.",
    options: &[],
    interfaces: &[<dyn DynApplication>::DESCRIPTOR],
    make: |context, _| Ok(Box::new(Myself(context.application.clone()))),
    sharing: Sharing::Home(&[(<dyn DynApplication>::DESCRIPTOR, <dyn DynApplication>::TWIN)]),
};

struct Myself(Control);

impl Provider for Myself {
    fn object(&self, interface: &str) -> Option<Object> {
        let control = || Rc::new(self.0.clone());
        (interface == "Application").then(|| <dyn DynApplication>::object(control()))
    }
}
