//! `PbFactory`: an object served to clients of PB. Decides nothing about who may log in.

use super::{
    broker::{Broker, Local},
    login::{Decide, Login, PbCredentials, ask},
    protocol::PbProtocol,
    value::PbObject,
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
    root: Root,
    limits: ExposureLimits,
    classes: Rc<BTreeSet<String>>,
}

/// What peers call first.
enum Root {
    Object(PbObject),
    /// Twisted's portal.
    Portal(Rc<Decide>),
}

impl PbFactory {
    /// Serves this object, an [`Object`] or a [`Referenceable`](super::Referenceable), to everybody, within these limits;
    /// `batch` means nothing here.
    #[must_use]
    pub fn new(object: impl Into<PbObject>, limits: ExposureLimits) -> Self {
        Self::of(Root::Object(object.into()), limits)
    }

    /// Lets only those in who log in: the root object is Twisted's portal, and what each may call is what the realm of this
    /// portal gives it in place of `object`. The portal is asked about challenges and about nothing (`login`,
    /// `loginAnonymous`), with [`call_deadline`](ExposureLimits::call_deadline) to answer. The session ends, with the
    /// realm's logout, when the client gives back what it has logged in to, or when its connection ends.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use tress_rpc::{ExposureLimits, Object, cred::{Checker, Memory, Portal}, pb::PbFactory};
    ///
    /// fn factory(object: &Object) -> PbFactory {
    ///     let users = Memory::new([("guest".to_owned(), "guest".to_owned())]);
    ///     let portal = Portal::new([Rc::new(users) as Rc<dyn Checker>]);
    ///     PbFactory::with_portal(portal, object, ExposureLimits::default())
    /// }
    /// ```
    #[must_use]
    pub fn with_portal(portal: Portal, object: &Object, limits: ExposureLimits) -> Self {
        Self::of(Root::Portal(ask(portal, object.clone())), limits)
    }

    /// The same with a function in place of a portal, which may know passwords by their MD5 digests only. Clients are told a
    /// [`Fault`](crate::Fault) that it fails with.
    #[must_use]
    pub fn with_login(
        decide: impl Fn(&CallContext, PbCredentials) -> Deferred<Session> + 'static,
        limits: ExposureLimits,
    ) -> Self {
        Self::of(Root::Portal(Rc::new(decide)), limits)
    }

    fn of(root: Root, limits: ExposureLimits) -> Self {
        Self {
            root,
            limits,
            classes: Rc::default(),
        }
    }

    /// Takes instances of these classes (`quotes.Quote`): to an [`Object`] they are their state, a record, to a
    /// [`Referenceable`](super::Referenceable) a [`PbValue::Instance`](super::PbValue::Instance). All others are refused; no
    /// class means anything else here than its name.
    #[must_use]
    pub fn classes<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let classes = Rc::make_mut(&mut self.classes);
        classes.extend(names.into_iter().map(Into::into));
        self
    }
}

#[diagnostic::do_not_recommend]
impl Factory for PbFactory {
    type Protocol = PbProtocol;

    fn build_protocol(&mut self, _peer: &Address) -> Option<PbProtocol> {
        let (root, login) = match &self.root {
            Root::Object(object) => (Local::object(object.clone(), self.limits), None),
            Root::Portal(decide) => (Local::Portal, Some(Login::new(decide))),
        };
        let broker = Broker::new(self.limits, &self.classes, Some(root), login);
        Some(PbProtocol::server(broker))
    }
}

impl fmt::Debug for PbFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Object(object) => write!(f, "PbFactory({object:?})"),
            Root::Portal(_) => f.write_str("PbFactory(portal)"),
        }
    }
}
