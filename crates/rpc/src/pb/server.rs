//! `PbFactory`: an object served to clients of PB. Decides nothing about who may log in.

use super::{
    broker::{Broker, Local},
    login::{Decide, Login, PbCredentials, ask},
    protocol::PbProtocol,
};
use crate::{
    calls::ExposureLimits,
    cred::{Portal, Session},
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
    decide: Option<Rc<Decide>>,
}

impl PbFactory {
    /// Serves this object within these limits; `batch` means nothing here.
    #[must_use]
    pub fn new(object: &Object, limits: ExposureLimits) -> Self {
        Self {
            object: object.clone(),
            limits,
            classes: Rc::default(),
            decide: None,
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

    /// Lets only those in who log in: the root object is Twisted's portal then, and what each may call is what the realm of
    /// this portal gives it. Its checkers are asked about challenges and about nothing (`login`, `loginAnonymous`), with
    /// [`call_deadline`](ExposureLimits::call_deadline) to answer. The session ends, with the realm's logout, when the client
    /// gives back what it has logged in to, or its connection has ended.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use tress_rpc::{ExposureLimits, Object, cred::{Checker, Memory, Portal}, pb::PbFactory};
    ///
    /// fn factory(object: &Object) -> PbFactory {
    ///     let users = Memory::new([("guest".to_owned(), "guest".to_owned())]);
    ///     let portal = Portal::new([Rc::new(users) as Rc<dyn Checker>]);
    ///     PbFactory::new(object, ExposureLimits::default()).portal(portal)
    /// }
    /// ```
    #[must_use]
    pub fn portal(mut self, portal: Portal) -> Self {
        self.decide = Some(ask(portal, self.object.clone()));
        self
    }

    /// The same with a function in place of a portal, which may know passwords by their MD5 digests only. Clients are told a
    /// [`Fault`](crate::Fault) that it fails with.
    #[must_use]
    pub fn login(
        mut self,
        decide: impl Fn(&CallContext, PbCredentials) -> Deferred<Session> + 'static,
    ) -> Self {
        self.decide = Some(Rc::new(decide));
        self
    }
}

#[diagnostic::do_not_recommend]
impl Factory for PbFactory {
    type Protocol = PbProtocol;

    fn build_protocol(&mut self, _peer: &Address) -> Option<PbProtocol> {
        let (root, login) = match &self.decide {
            None => (Local::object(&self.object, self.limits), None),
            Some(decide) => (Local::Portal, Some(Login::new(decide))),
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
