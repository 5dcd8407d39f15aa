//! `PbFactory`: an object served to clients of PB. Decides nothing about who may log in.

use super::{
    broker::{Broker, Local},
    login::{Login, PbCredentials, Portal},
    protocol::PbProtocol,
};
use crate::{
    calls::{Calls, ExposureLimits},
    object::{CallContext, Object},
};
use std::{collections::BTreeSet, fmt, rc::Rc};
use tress_core::{Address, Deferred, Factory};

/// Serves an object to clients of Twisted's Perspective Broker, as their root object, or as the avatars of those who have
/// logged in.
///
/// `root.callRemote("quotes", 3)` and `root.callRemote("quotes", count=3)` call the method `quotes`. Texts may be byte
/// strings, as those of Python 2 are. See [`pb`](super) for what values are sent as, and for faults.
pub struct PbFactory {
    object: Object,
    limits: ExposureLimits,
    classes: Rc<BTreeSet<String>>,
    portal: Option<Rc<Portal>>,
}

impl PbFactory {
    /// Serves this object within these limits; `batch` means nothing here.
    #[must_use]
    pub fn new(object: &Object, limits: ExposureLimits) -> Self {
        Self {
            object: object.clone(),
            limits,
            classes: Rc::default(),
            portal: None,
        }
    }

    /// Takes instances of these classes (`quotes.Quote`), whose state then is a record. All others are refused; no class
    /// means anything else here than its name.
    #[must_use]
    pub fn classes<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let classes = Rc::make_mut(&mut self.classes);
        classes.extend(names.into_iter().map(Into::into));
        self
    }

    /// Lets only those call it who log in: the root object is Twisted's portal then. `decide` is asked about what they
    /// have, with [`call_deadline`](ExposureLimits::call_deadline) to answer, and gives the name of the avatar, which
    /// calls have in their [context](CallContext::avatar); clients are told a [`Fault`](crate::Fault) that it fails with.
    ///
    /// ```
    /// use tress_core::Deferred;
    /// use tress_rpc::{ExposureLimits, Fault, Object, fault, pb::{PbCredentials, PbFactory}};
    ///
    /// fn factory(object: &Object) -> PbFactory {
    ///     PbFactory::new(object, ExposureLimits::default()).login(|_, credentials| match credentials {
    ///         PbCredentials::Response(response) if response.is(b"guest") => {
    ///             Deferred::succeed(response.user().into())
    ///         }
    ///         _ => Deferred::fail(Fault::new(fault::UNAUTHORIZED, "who are you?")),
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn login(
        mut self,
        decide: impl Fn(&CallContext, PbCredentials) -> Deferred<Rc<str>> + 'static,
    ) -> Self {
        self.portal = Some(Rc::new(decide));
        self
    }
}

#[diagnostic::do_not_recommend]
impl Factory for PbFactory {
    type Protocol = PbProtocol;

    fn build_protocol(&mut self, _peer: &Address) -> Option<PbProtocol> {
        let calls = Calls::new(&self.object, self.limits);
        let (root, login) = match &self.portal {
            None => (Local::object(&Rc::new(calls), None), None),
            Some(portal) => (Local::Portal, Some(Login::new(portal, calls))),
        };
        let broker = Broker::new(self.limits, &self.classes, Some(root), login);
        Some(PbProtocol::server(broker))
    }
}

impl fmt::Debug for PbFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PbFactory({:?})", self.object)
    }
}
